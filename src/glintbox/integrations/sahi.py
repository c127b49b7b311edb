"""glintbox as a detection model of SAHI: `get_sliced_prediction` grounds each slice of a large picture, and merges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glintbox import embedded
from glintbox.errors import BadInput, MissingExtra
from glintbox.ground import Grounder
from glintbox.records import Grounding

try:
    from sahi.models.base import DetectionModel
    from sahi.prediction import ObjectPrediction
    from sahi.utils.compatibility import fix_full_shape_list, fix_shift_amount_list
except ModuleNotFoundError as error:
    raise MissingExtra("sahi", "sahi") from error

BETWEEN_SLICES = ("iou", "agreement")
"""Kinds of scores by which boxes of several slices may be merged: both lie in [0, 1]. A rank is one within a slice."""

Shape = Sequence[int | float]


class GlintboxDetectionModel(DetectionModel):
    """Finds `queries`, which are its categories, in every picture or slice that SAHI gives it.

    model_path: a hub name or checkpoint folder; model: a Grounder, in place of it. confidence_threshold: lowest score.
    options: as those of `Grounder.ground`; several objects per query and slice unless multiple=False.

    Raises:
        BadInput: no queries; while predicting, a selector whose scores do not compare between slices.
    """

    def __init__(
        self,
        queries: Sequence[str],
        *,
        model_path: str = embedded.NAME,
        model: Grounder | None = None,
        device: str | None = None,
        confidence_threshold: float = 0.0,
        **options: Any,
    ) -> None:
        if not queries or isinstance(queries, str):
            raise BadInput(f"expected a list of queries, got {queries!r}")
        self.queries = list(queries)
        self.options = {"multiple": True} | options
        super().__init__(
            model_path=model_path,
            model=model,
            device=device,
            confidence_threshold=confidence_threshold,
            category_mapping={str(k): query for k, query in enumerate(queries)},
        )

    def load_model(self) -> None:
        """Load the checkpoint onto SAHI's device."""
        self.set_model(Grounder.from_pretrained(str(self.model_path), device=self.device))

    def set_model(self, model: Grounder, **kwargs: Any) -> None:
        """Take a Grounder that is loaded already."""
        self.model = model

    def perform_inference(self, image: npt.NDArray[np.uint8]) -> None:
        """Ground all queries in one picture, RGB; its prefill is done once."""
        found: list[Grounding] = self.model(image, self.queries, **self.options)
        self._original_predictions = found

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: list[Shape] | None = None, full_shape_list: list[Shape] | None = None
    ) -> None:
        [shift] = fix_shift_amount_list(shift_amount_list)
        [full] = fix_full_shape_list(full_shape_list) or [None]
        self._object_prediction_list_per_image = [
            [
                one
                for category, result in enumerate(self._original_predictions)
                for one in object_predictions(result, category=category, shift=shift, full=full)
                if one.score.value >= self.confidence_threshold
            ]
        ]


def object_predictions(
    result: Grounding, *, category: int = 0, shift: Shape = (0, 0), full: Shape | None = None
) -> list[Any]:
    """SAHI's ObjectPrediction of each box, for `PredictionResult` and its exports.

    shift: x and y of the slice in the whole picture, full: height and width of that, both px.

    Raises:
        BadInput: boxes without a score, or with one that holds within one slice only.
    """
    if result.boxes and result.score_kind not in BETWEEN_SLICES:
        raise BadInput(
            f"expected scores of kind {' or '.join(BETWEEN_SLICES)}, by which SAHI merges slices, got "
            f"{result.score_kind!r} of {result.method}; use selector='consensus' or 'acs-learned'"
        )
    return [
        ObjectPrediction(
            bbox=list(box),
            category_id=category,
            category_name=result.found.query,
            score=score,
            shift_amount=list(shift),
            full_shape=None if full is None else list(full),
        )
        for box, score, *_ in result.boxes
    ]
