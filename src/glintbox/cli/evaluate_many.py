"""`glintbox evaluate --multiple`: precision, recall and F1 where a picture holds several objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glintbox.cli.console import progress
from glintbox.compare import Plan, compare_many
from glintbox.draw import Figure
from glintbox.draw_many import many_figure
from glintbox.errors import BadInput
from glintbox.evaluate_many import ManyEvaluation, evaluate_many
from glintbox.ground import Grounder
from glintbox.records import Sample, to_json
from glintbox.selectors.base import Clusters
from glintbox.tables_many import many_as_csv, markdown_many

CLUSTERS = ",".join(f"{value:g}" for value in Clusters())
"""The default of --clusters."""


def clusters(text: str) -> Clusters:
    """The grouping that "0.5,2" means: the IoU that joins candidates, and the fewest members of a cluster."""
    try:
        overlap, size = text.split(",")
        found = Clusters(float(overlap), int(size))
    except ValueError as error:
        raise BadInput(
            f"expected --clusters IOU,MEMBERS, the overlap that joins candidates and the fewest members of a cluster, "
            f"like {CLUSTERS}, got {text!r}"
        ) from error
    return found


def compared(grounder: Grounder, samples: Sequence[Sample], plan: Plan, about: Mapping[str, str]) -> ManyEvaluation:
    """Draw what is missing of the answers, and judge greedy and every selector on them."""
    with progress() as bar:
        task = bar.add_task("answering", total=len(samples) * len(plan.samplings))
        choosing = bar.add_task("choosing", total=len(samples) * len(plan.samplings))
        methods = compare_many(
            grounder.lvlm, samples, plan,
            tick=lambda: bar.update(task, advance=1), chosen=lambda: bar.update(choosing, advance=1),
        )  # fmt: skip
    return evaluate_many(methods, about=about)


def written(found: ManyEvaluation, *, picture: bool) -> dict[str, str | Figure]:
    """The files of the report by name: text, and the figure where it is wanted."""
    record = to_json(found, indent=1) + "\n"
    texts = {"report.md": markdown_many(found), "report.csv": many_as_csv(found), "report.json": record}
    return texts | ({"report.png": many_figure(found)} if picture else {})
