"""Whoever listens hears of every token, nobody else does, and nothing that is drawn changes."""

from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.progress import Written, tell, telling
from glintbox.records import Sampling
from tests.lvlm.tiny import picture, tiny_loaded


def test_a_listener_hears_of_every_token_and_changes_nothing() -> None:
    lvlm = HuggingFaceLVLM(tiny_loaded("qwen3_vl"))
    prompt = lvlm.prompt(picture(84, 56), "cup", id="a")
    sampling = Sampling(n=2, max_new_tokens=5)
    [alone] = [answered.responses for answered in lvlm.answer([prompt], sampling, None)]
    heard: list[Written] = []
    with telling(heard.append):
        [told] = [answered.responses for answered in lvlm.answer([prompt], sampling, None)]
    assert told == alone
    steps = max(len(response.ids) + (response.ended == "stop") for response in told)
    assert [written.tokens for written in heard] == list(range(1, steps + 1))
    assert {written.answers for written in heard} == {3}
    stopped = sum(response.ended == "stop" for response in told)
    assert heard[-1].finished == stopped and sorted(w.finished for w in heard) == [w.finished for w in heard]


def test_a_listener_is_heard_of_no_more_after_it() -> None:
    heard: list[Written] = []
    with telling(heard.append):
        tell(Written(1, 0, 1))
        with telling(lambda _: None):
            tell(Written(2, 0, 1))
        tell(Written(3, 0, 1))
    tell(Written(4, 0, 1))
    assert [written.tokens for written in heard] == [1, 3]
