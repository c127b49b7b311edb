"""Tables 7-10 come out as printed."""

from glintbox.reproduce.architecture import REPORTED, models


def test_parameters_and_mult_adds_are_the_papers() -> None:
    page = models({})
    for name, (parameters, adds, given) in REPORTED.items():
        told = page.numbers[name]
        assert told["parameters"] == parameters
        assert round(told["input_bytes"] / 1e6, 2) == given
        number, unit = adds.split()
        assert round(told["mult_adds"] / {"G": 1e9, "M": 1e6}[unit], 2) == float(number)


def test_a_branch_and_the_fusion_are_listed_layer_by_layer() -> None:
    [first, second] = [part for part in models({}).parts if part.startswith("| part")]
    kinds = [line.split("|")[2].strip() for line in first.splitlines()[2:]]
    assert kinds[:4] == ["Conv2d", "BatchNorm2d", "ReLU", "Dropout2d"] and kinds.count("Conv2d") == 3
    assert "| branch | Conv2d | 1 x 64 x 24 x 24 | 451,648 |" in first
    assert "| branch | Linear | 1 x 128 | 32,896 |" in first
    assert "| fusion | Linear | 1 x 256 | 131,328 |" in first
    assert "| branch | Conv2d | 1 x 64 x 16 x 16 | 663,616 |" in second
    fusion = [line.split("|")[2].strip() for line in second.splitlines() if line.startswith("| fusion")]
    assert fusion == ["Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
