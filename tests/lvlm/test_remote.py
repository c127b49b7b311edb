"""Answers of a server process with the engine's own sampling are those drawn here, and so is their attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from glintbox import embedded
from glintbox.collect import candidate_set
from glintbox.errors import BadContract, BadInput, NoArtifact, Unanswered
from glintbox.ground import Grounder
from glintbox.lvlm.api import LVLM, Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.remote import ONE_BY_ONE, RETOKENIZED, UNCHECKED, RemoteLVLM
from glintbox.lvlm.scripted import ScriptedLVLM
from glintbox.lvlm.server import Refused, Server, seed_of
from glintbox.lvlm.unseen import Unseen
from glintbox.records import CandidateSet, Sampling, Site, Watch
from tests.lvlm.served import NAME, Service
from tests.lvlm.tiny import picture

OWL = "examples/images/scene-15-owl.jpg"
DRAWN = Sampling(n=3, temperature=1.0, top_p=0.9, top_k=100, seed=5, max_new_tokens=48)


@pytest.fixture(scope="module")
def here() -> HuggingFaceLVLM:
    return HuggingFaceLVLM.from_pretrained(embedded.folder(), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def files() -> HuggingFaceLVLM:
    return HuggingFaceLVLM.from_pretrained(embedded.folder(), weights=False)


@contextmanager
def over(service: Service, known: LVLM | Unseen, **options: Any) -> Iterator[RemoteLVLM]:
    settings: dict[str, Any] = dict(served=NAME, wait=0.01, timeout=300.0) | options
    with closing(Server(service.url, **settings)) as server:
        yield RemoteLVLM(server, known)


def owl() -> Image.Image:
    return Image.open(OWL).convert("RGB")


def asked(lvlm: LVLM, id: str = "a", image: Image.Image | None = None) -> Prompt:
    return lvlm.prompt(image or owl(), "owl", id=id, text="short")


def found(lvlm: LVLM, answered: Answered, watch: Watch | None) -> CandidateSet:
    setting = lvlm.card.setting(prompt="short", view="default", moment="predicting")
    return candidate_set(answered, lvlm.card, sampling=DRAWN, setting=setting, watch=watch)


def seeded(prompt: Prompt, number: int) -> int:
    return seed_of(DRAWN.seed, f"{prompt.id}\0{prompt.query}", number)


@pytest.mark.slow
def test_a_server_with_the_engines_sampling_gives_the_answers_boxes_and_attention_of_this_machine(
    service: Service, here: HuggingFaceLVLM
) -> None:
    watch = Watch()
    with over(service, here) as lvlm:
        prompt = asked(lvlm)
        [served] = [found(lvlm, answered, watch) for answered in lvlm.answer([prompt], DRAWN, watch)]
    own = replace(DRAWN, seed=seeded(prompt, 0))
    [live] = [found(here, answered, watch) for answered in here.answer([asked(here)], own, watch)]
    assert [r.source for r in served.responses] == ["greedy", "sampled", "sampled", "sampled"]
    for mine, other in zip(served.responses, live.responses, strict=True):
        assert replace(mine, entropy=None) == replace(other, entropy=None)
        assert mine.entropy == pytest.approx(other.entropy, abs=1e-3), "replay fills in what live decoding measured"
    assert len(served.candidates) > 1
    assert [c.box for c in served.candidates] == [c.box for c in live.candidates]
    assert served.stats is not None and live.stats is not None
    torch.testing.assert_close(served.stats.entropy, live.stats.entropy, atol=1e-3, rtol=0)
    torch.testing.assert_close(served.stats.share, live.stats.share, atol=1e-3, rtol=0)
    assert served.notes == (f"answers are by {NAME} at {lvlm.server.url}",)
    greedy, drawn = sorted(service.seen(), key=lambda one: one["temperature"])
    assert (greedy["temperature"], drawn["temperature"], drawn["n"], drawn["seed"]) == (0.0, 1.0, 3, own.seed)


@pytest.mark.slow
@pytest.mark.parametrize("n", ["refused", "ignored"])
def test_a_server_of_one_answer_at_a_time_is_asked_for_each_with_its_own_seed(
    service: Service, here: HuggingFaceLVLM, files: HuggingFaceLVLM, n: str
) -> None:
    service.set(n=n)
    with over(service, files) as lvlm:
        first, second = asked(lvlm), asked(lvlm, "b")
        [served] = lvlm.answer([first], DRAWN, None)
        before = len(service.seen())
        [_] = lvlm.answer([second], DRAWN, None)
    sent = service.seen()
    assert [("n" in seen) for seen in sent[before:]] == [False] * 4, "what it cannot do is remembered"
    assert {seen["seed"] for seen in sent[before:]} == {seeded(second, k) for k in range(3)}
    assert ONE_BY_ONE in served.notes
    for number, response in enumerate(served.responses[1:]):
        own = replace(DRAWN, n=1, seed=seeded(first, number), greedy_too=False)
        [alone] = here.answer([asked(here)], own, None)
        assert response.text == alone.responses[0].text


def test_without_token_ids_the_text_is_tokenised_here_and_said_so(service: Service, files: HuggingFaceLVLM) -> None:
    told: dict[bool, Answered] = {}
    for ids in (True, False):
        service.set(canned=True, ids=ids)
        with over(service, files) as lvlm:
            [told[ids]] = lvlm.answer([asked(lvlm)], DRAWN, None)
    assert told[True].responses == told[False].responses
    assert "".join(told[True].responses[1].text[a:b] for a, b in told[True].responses[1].spans) == (
        told[True].responses[1].text
    )
    assert RETOKENIZED in told[False].notes and RETOKENIZED not in told[True].notes


@pytest.mark.parametrize(("mode", "got"), [({"extra": 7}, r"\d+"), ({"counted": False}, "no count")])
def test_a_prompt_of_another_length_is_refused(
    service: Service, files: HuggingFaceLVLM, mode: dict[str, Any], got: str
) -> None:
    service.set(canned=True, **mode)
    with over(service, files) as lvlm:
        prompt = asked(lvlm)
        told = rf"expected a prompt of {len(prompt.ids)} tokens for 'a', as made here, got {got} from .*shortest_edge"
        with pytest.raises(BadContract, match=told):
            next(lvlm.answer([prompt], DRAWN, None))


@pytest.mark.parametrize("size", [(500, 300), (300, 500)])
def test_the_picture_goes_at_the_models_own_input_size_and_the_server_makes_the_same_prompt(
    service: Service, files: HuggingFaceLVLM, size: tuple[int, int]
) -> None:
    service.set(canned=True)
    with over(service, files) as lvlm:
        prompt = asked(lvlm, image=picture(*size))
        [answered] = lvlm.answer([prompt], DRAWN, None)
        _, rows, cols = prompt.tensors["image_grid_thw"][0].tolist()
        [wide, high] = service.seen()[0]["size"]
        assert (wide, high) == (cols * 24, rows * 24) != size
        box = found(lvlm, answered, None).candidates[0].box
        assert tuple(box) == pytest.approx((0.1 * size[0], 0.2 * size[1], 0.3 * size[0], 0.4 * size[1]))


def test_pictures_ahead_are_in_flight_and_answers_come_in_order(service: Service, files: HuggingFaceLVLM) -> None:
    service.set(canned=True, pause=0.3)
    with over(service, files, concurrency=4) as lvlm:
        prompts = [asked(lvlm, str(k)) for k in range(6)]
        assert [answered.prompt.id for answered in lvlm.answer(prompts, DRAWN, None)] == list("012345")
    assert service.most() == 4
    assert len(service.seen()) == 12


def test_a_case_that_fails_is_an_error_at_its_place_and_the_others_are_not_asked_twice(
    service: Service, files: HuggingFaceLVLM
) -> None:
    service.set(canned=True, broken={"264": 500})  # the width of one picture
    with over(service, files, retries=1) as lvlm:
        ids = ["a", "tall", "b", "c"]
        prompts = [asked(lvlm, id, picture(264, 288) if id == "tall" else None) for id in ids]
        answers = lvlm.answer(iter(prompts), DRAWN, None)
        assert next(answers).prompt.id == "a"
        with pytest.raises(Unanswered, match="for 'tall', got none in 2 attempts"):
            next(answers)
        assert [answered.prompt.id for answered in lvlm.answer(prompts[2:], DRAWN, None)] == ["b", "c"]
    assert sum(seen["id"] in {"b", "c"} for seen in service.seen()) == 4, "what was in flight is taken, not lost"


def test_a_picture_that_makes_no_prompt_is_an_error_after_the_answers_before_it(
    service: Service, files: HuggingFaceLVLM
) -> None:
    service.set(canned=True)
    with over(service, files) as lvlm:
        prompts = (lvlm.prompt(owl(), query, id=query, text="short") for query in ("owl", ""))
        answers = lvlm.answer(prompts, DRAWN, None)
        assert next(answers).prompt.id == "owl"
        with pytest.raises(BadInput, match="expected a query that names what to look for"):
            next(answers)


def test_a_family_by_name_reads_boxes_without_any_file_and_says_that_nothing_was_checked(service: Service) -> None:
    service.set(canned=True, extra=7)
    with over(service, Unseen("qwen3_vl", served=NAME)) as lvlm:
        grounding = Grounder(lvlm, prompt="short")(picture(500, 300), "owl", n=2)
    assert grounding.method == "consensus"
    assert tuple(grounding.boxes[0].box) == pytest.approx((50, 60, 150, 120))
    assert UNCHECKED in grounding.found.notes and grounding.found.stats is None
    assert service.seen()[0]["size"] == [500, 300], "no processor here knows another size"


@pytest.mark.parametrize("name", ["acs-free", "acs-learned", "heads-overlap", "token-entropy"])
def test_selectors_that_look_inside_need_weights_here(service: Service, files: HuggingFaceLVLM, name: str) -> None:
    with (
        over(service, files) as lvlm,
        pytest.raises(NoArtifact, match=rf"{name} looks inside the model, expected the weights of qwen3_vl_scenes@"),
    ):
        Grounder(lvlm)(owl(), "owl", n=2, selector=name)
    assert service.seen() == []


def test_attention_without_weights_and_reading_without_a_watch_are_refused(
    service: Service, files: HuggingFaceLVLM
) -> None:
    service.set(canned=True)
    with over(service, files) as lvlm:
        with pytest.raises(NoArtifact, match=r"expected the weights of qwen3_vl_scenes@.* to read attention"):
            next(lvlm.answer([asked(lvlm)], DRAWN, Watch()))
        [answered] = lvlm.answer([asked(lvlm)], DRAWN, None)
        with pytest.raises(BadInput, match="expected answers whose attention was watched"):
            answered.read([Site(0, 0)], Watch())


def test_prompts_and_models_of_another_kind_are_refused(service: Service, files: HuggingFaceLVLM) -> None:
    with over(service, files) as lvlm:
        with pytest.raises(BadInput, match="expected a prompt that this model made"):
            next(lvlm.answer([asked(files)], DRAWN, None))
        with pytest.raises(BadInput, match="expected a HuggingFaceLVLM or an Unseen beside a server, got Scripted"):
            RemoteLVLM(lvlm.server, ScriptedLVLM({}))


def test_a_refusal_of_one_answer_too_is_told_and_not_remembered(service: Service, files: HuggingFaceLVLM) -> None:
    service.set(canned=True, faults=[*["400"] * 9])
    with over(service, files, concurrency=1) as lvlm:
        with pytest.raises(Refused, match="HTTP 400"):
            next(lvlm.answer([asked(lvlm)], replace(DRAWN, greedy_too=False), None))
        assert 2 <= len(service.seen()) <= 1 + DRAWN.n, "the others may not be out yet"
        assert not lvlm.server.one_by_one


def test_several_samplings_are_asked_one_after_the_other(service: Service, files: HuggingFaceLVLM) -> None:
    service.set(canned=True)
    both = (DRAWN, replace(DRAWN, n=2, temperature=0.5))
    with over(service, files) as lvlm:
        [together] = lvlm.answer_together([asked(lvlm)], both, None)
    assert [len(answered.responses) for answered in together] == [4, 3]
