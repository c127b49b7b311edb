"""What the paper reports (arXiv 2606.01612): numbers of its tables, never measured here, always labelled so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MODELS = ("Qwen2.5-VL-7B", "InternVL-3.5-8B")

COLUMNS = ("Qwen2.5-VL Acc", "Qwen2.5-VL mIoU", "InternVL-3.5 Acc", "InternVL-3.5 mIoU")
"""The columns of Table 2 on one dataset, in %."""

GREEDY: Mapping[str, tuple[float, ...]] = {"coco": (61.4, 52.2, 49.1, 42.9), "objects365": (43.0, 36.9, 21.9, 21.9)}

_TABLE2 = """
pass-at-1 1.0 52.3 45.3 30.3 26.8 38.8 36.1 13.3 15.1
pass-at-1 0.7 59.3 50.3 36.5 32.1 45.0 40.4 16.0 17.3
pass-at-1 0.5 59.6 50.9 39.9 34.6 47.1 41.9 19.8 19.8
first-valid 1.0 54.2 47.0 32.4 28.8 42.2 39.8 15.6 18.0
first-valid 0.7 60.3 51.2 38.1 33.5 48.8 44.1 18.3 20.4
first-valid 0.5 60.9 52.0 41.7 36.1 50.8 45.5 21.9 22.3
token-entropy 1.0 51.7 43.8 32.0 28.1 39.1 37.2 11.9 14.7
token-entropy 0.7 55.9 47.2 35.3 30.5 47.1 43.1 15.3 17.8
token-entropy 0.5 58.1 49.0 37.7 32.8 49.1 44.2 20.3 20.5
majority-vote 1.0 56.0 48.5 32.4 30.0 50.2 45.0 18.6 20.5
majority-vote 0.7 59.2 51.0 37.6 33.5 51.7 46.4 21.8 22.7
majority-vote 0.5 60.4 51.6 39.4 34.6 53.8 46.8 23.2 23.4
mean-box 1.0 32.7 32.1 14.1 15.2 36.7 35.3 10.2 14.1
mean-box 0.7 45.4 41.5 22.9 22.7 41.8 39.0 14.2 17.2
mean-box 0.5 50.1 44.8 29.8 27.7 45.4 41.1 16.6 19.1
smallest 1.0 27.0 25.5 18.6 18.3 18.3 24.1 6.2 10.5
smallest 0.7 42.7 37.7 26.2 24.7 28.0 30.2 10.8 13.9
smallest 0.5 49.3 42.7 32.1 29.5 34.3 34.2 13.6 16.6
acs-free 1.0 59.4 50.2 39.4 34.6 47.9 44.5 20.6 21.7
acs-free 0.7 62.1 52.3 42.6 37.1 51.3 46.5 23.3 23.5
acs-free 0.5 63.4 53.5 43.0 37.9 53.1 47.4 24.8 24.4
acs-learned 1.0 64.0 53.0 41.5 36.5 55.0 48.3 21.9 22.5
acs-learned 0.7 64.9 54.7 45.0 39.2 58.4 50.4 23.5 23.6
acs-learned 0.5 65.3 55.2 45.1 39.1 58.6 50.6 25.5 24.9
"""


def table2(dataset: str) -> dict[tuple[str, float], tuple[float, ...]]:
    """Table 2 by method and temperature, in the order of `COLUMNS`; dataset: coco or objects365."""
    found = {}
    for line in _TABLE2.split("\n")[1:-1]:
        name, temperature, *numbers = line.split()
        coco, objects = (0, 1, 4, 5), (2, 3, 6, 7)
        places = objects if dataset == "objects365" else coco
        found[name, float(temperature)] = tuple(float(numbers[k]) for k in places)
    return found


TABLE3: Mapping[float, tuple[float, ...]] = {
    0.5: (0.165, 0.737, 0.180, 0.682),
    0.7: (0.159, 0.751, 0.178, 0.680),
    1.0: (0.148, 0.780, 0.176, 0.677),
}
"""MAE and Pearson's r of Qwen2.5-VL, then of InternVL-3.5, by temperature."""

TABLE4: Mapping[int, tuple[float, float]] = {
    3: (61.2, 46.3), 5: (62.5, 51.4), 10: (64.0, 53.0), 15: (63.4, 52.9), 20: (63.1, 52.6), 30: (63.0, 52.6),
}  # fmt: skip
"""Acc@0.5 and mIoU by N; the mIoU of N = 3 contradicts Table 5."""

TABLE5: Mapping[int, Mapping[float, tuple[float, float]]] = {
    1: {1.0: (53.6, 46.3), 0.7: (60.0, 51.0), 0.5: (60.2, 51.6)},
    3: {1.0: (61.2, 51.4), 0.7: (64.3, 54.1), 0.5: (63.7, 54.2)},
    5: {1.0: (62.5, 52.3), 0.7: (65.2, 54.5), 0.5: (64.8, 54.8)},
    10: {1.0: (64.0, 53.0), 0.7: (64.9, 54.7), 0.5: (65.3, 55.2)},
}

TABLE6: Mapping[tuple[str, float | None], tuple[float, float, float]] = {
    ("greedy", None): (47.21, 40.19, 43.42),
    ("greedy + NMS 0.5", None): (57.13, 40.01, 47.06),
    ("greedy + NMS 0.8", None): (56.29, 40.10, 46.83),
    ("acs-learned", 0.5): (49.10, 50.18, 49.63),
    ("acs-learned", 0.7): (50.93, 50.13, 50.53),
    ("acs-learned", 1.0): (50.22, 47.09, 48.60),
}
"""Precision, recall and F1 of Qwen2.5-VL."""

LARGE: Mapping[str, tuple[float, float]] = {"Qwen2.5-VL-7B": (87, 87), "InternVL-3.5-8B": (64, 70)}
"""Acc@0.5 of greedy and of ACS-Learned on medium and large objects (section 5.5)."""

LAYERS: Mapping[str, tuple[Sequence[int], Sequence[int]]] = {
    "Qwen2.5-VL-7B": ((14, 15, 16, 17, 18, 19, 20, 21, 24, 25), tuple(range(14, 22))),
    "InternVL-3.5-8B": ((17, 18, 19, 20, 21, 22, 23, 24, 26, 35), tuple(range(17, 27))),
}
"""Table 1, and the range that the text makes of it."""
