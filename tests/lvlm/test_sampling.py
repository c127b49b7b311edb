from __future__ import annotations

import math

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from glintbox.lvlm.sampling import choose, noise, support, vocabulary_entropy
from glintbox.records import Sampling


def logits(rows: int = 6, vocabulary: int = 50) -> torch.Tensor:
    return 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0))


def spread(ids: torch.Tensor, probability: torch.Tensor, vocabulary: int) -> torch.Tensor:
    return torch.zeros(len(ids), vocabulary, dtype=torch.float64).scatter(-1, ids, probability)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 7, 50, 400])
@pytest.mark.parametrize("top_p", [0.2, 0.9, 1.0])
def test_support_and_probabilities_are_those_of_transformers_warpers(temperature, top_k, top_p):
    scores = TemperatureLogitsWarper(temperature)(None, logits())
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    kept = support(logits(), Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
    ours = spread(*kept, vocabulary=50)
    assert torch.equal(ours > 0, scores > -torch.inf)
    assert torch.allclose(ours, scores.double().softmax(-1), atol=1e-6)


def test_support_of_a_hand_computed_row():
    row = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()
    ids, probability = support(row, Sampling(temperature=1.0, top_k=0, top_p=0.7))
    assert ids[0, :2].tolist() == [0, 2]
    assert probability[0].tolist() == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=1e-6)


def test_ties_at_the_edge_of_top_k_stay_in_the_order_of_their_ids():
    row = torch.tensor([[1.0, 2.0, 1.0, 3.0, 1.0, 0.0]])
    ids, probability = support(row, Sampling(temperature=1.0, top_k=3, top_p=1.0))
    assert ids[0].tolist() == [3, 1, 0, 2, 4]
    assert bool((probability[0] > 0).all())


def test_noise_lies_in_the_unit_interval_evenly():
    drawn = torch.tensor([noise(7, "a", response, step) for response in range(40) for step in range(100)])
    assert float(drawn.min()) >= 0 and float(drawn.max()) < 1
    assert torch.histc(drawn, 4, 0, 1).tolist() == pytest.approx([1000] * 4, abs=120)


def test_noise_changes_with_every_part_of_its_counter_and_with_nothing_else():
    values = {noise(0, "a", 1, 2), noise(1, "a", 1, 2), noise(0, "b", 1, 2), noise(0, "a", 2, 2), noise(0, "a", 1, 3)}
    assert len(values) == 5
    assert noise(0, "a", 12, 3) != noise(0, "a", 1, 23)
    assert noise(0, "a", 1, 2) == noise(0, "a", 1, 2)


def test_noise_takes_an_id_that_is_no_proper_text():
    assert 0 <= noise(0, "picture-\udcff.png", 0, 0) < 1


def test_noise_is_the_same_on_every_machine_and_in_every_release():
    assert noise(0, "example", 3, 5) == 0.05787974188721989


def test_draws_follow_the_probabilities():
    row = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0)
    noises = [noise(0, "x", 0, step) for step in range(4000)]
    drawn = choose(row.expand(4000, -1), noises, sampling)
    assert drawn.bincount().tolist() == pytest.approx([2000, 400, 1200, 400], abs=110)


def test_extreme_noise_draws_the_ends_of_the_support_and_never_beyond():
    sampling = Sampling(temperature=0.7, top_k=9, top_p=0.8)
    kept = support(logits(), sampling)
    last = [max(i for i, p in enumerate(row) if p > 0) for row in kept.probability.tolist()]
    low = choose(logits(), [0.0] * 6, sampling)
    high = choose(logits(), [1 - 2**-48] * 6, sampling)
    assert low.tolist() == logits().argmax(-1).tolist()
    assert high.tolist() == [int(kept.ids[row, at]) for row, at in enumerate(last)]


def test_a_row_is_drawn_alike_alone_and_among_others():
    sampling = Sampling(temperature=1.5, top_k=20, top_p=0.95)
    noises = [noise(3, "y", row, 0) for row in range(6)]
    together = choose(logits(), noises, sampling).tolist()
    assert together == [int(choose(logits()[row : row + 1], [noises[row]], sampling)[0]) for row in range(6)]
    assert together != logits().argmax(-1).tolist()


def test_no_noise_or_no_temperature_is_greedy():
    best = logits().argmax(-1).tolist()
    assert choose(logits(), [None] * 6, Sampling(temperature=5.0)).tolist() == best
    assert choose(logits(), [0.999] * 6, Sampling(n=1, temperature=0.0)).tolist() == best
    mixed = choose(logits(), [None, 0.999] * 3, Sampling(temperature=5.0, top_k=0, top_p=1.0)).tolist()
    assert mixed[::2] == best[::2] and all(a != b for a, b in zip(mixed[1::2], best[1::2], strict=True))


def test_entropy_of_an_even_distribution_is_log_of_the_vocabulary():
    assert vocabulary_entropy(torch.zeros(1, 50)).tolist() == pytest.approx([math.log(50)], abs=1e-5)


def test_entropy_of_a_hand_computed_row_and_with_impossible_tokens():
    rows = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]).log()
    assert vocabulary_entropy(rows).tolist() == pytest.approx([1.5 * math.log(2), 0.0, math.log(2)], abs=1e-6)
