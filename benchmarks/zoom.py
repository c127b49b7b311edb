"""What a second look brings: `python -m benchmarks.zoom` prints Acc@0.5 with and without it, and what it costs.

On validation scenes, one small target each; differences in points, drawn in pairs, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median
from time import process_time

from glintbox.cells import signed, table, within
from glintbox.datasets.resolve import resolve
from glintbox.evaluate import Judged, judge, paired, report
from glintbox.ground import Grounder, grounding
from glintbox.records import Grounding, Sample
from glintbox.reproduce.answers import GREEDY_FIRST
from glintbox.zoom import Zoomed

CHOSEN = ("consensus", "acs-free", "acs-learned")


def answered(grounder: Grounder, cases: Sequence[Sample], temperature: float) -> tuple[list[Grounding], float]:
    """What acs-learned chooses in each case, with all that another selector needs, and the median CPU seconds."""
    found, taken = list[Grounding](), list[float]()
    for case in cases:
        began = process_time()
        pairs = [(case.image, case.query)]
        found += grounder.ground(pairs, ids=[case.id], temperature=temperature, selector="acs-learned")
        taken.append(process_time() - began)
    return found, median(taken)


def judged(grounder: Grounder, cases: Sequence[Sample], found: Sequence[Grounding]) -> list[Judged]:
    """Greedy and every selector on the same answers."""
    by = [GREEDY_FIRST, *(grounder.choice(name)[0] for name in CHOSEN)]
    return [judge(zip(cases, (grounding(one.found, each) for one in found), strict=True)) for each in by]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--temperature", type=float, default=0.5)
    wanted = parser.parse_args(arguments)
    whole = Grounder.from_pretrained()
    zoomed = whole.over(Zoomed(whole.lvlm))
    cases = resolve(
        "scenes", images=None, split="validation", size="small", limit=wanted.cases, default_split="validation"
    )
    (once, apart), (again, together) = (answered(each, cases, wanted.temperature) for each in (whole, zoomed))
    rows = []
    for plain, near in zip(judged(whole, cases, once), judged(zoomed, cases, again), strict=True):
        a, b, gain = report(plain), report(near), paired(near, plain)
        rows.append(
            (
                plain.method,
                within(a.acc_at_50, a.acc_interval),
                within(b.acc_at_50, b.acc_interval),
                signed(gain.gain, gain.interval),
            )
        )
    print(table(("method", "once", "zoomed", "difference"), rows, words=1))
    print(f"\n{len(cases)} cases, T = {wanted.temperature:g}; a case takes {apart:.2f} and {together:.2f} CPU s")


if __name__ == "__main__":
    main()
