"""Imports only go down or stay on a floor, and heavy packages keep to their rooms."""

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "glintbox"
FLOORS = {
    0: "errors embedded boxes images jobs pairs layout",
    1: "geometry",
    2: "records",
    3: "maps components assembly masks parsing prompts metrics coding shards packed store predictions regressor "
    "phrases checkpoints artifacts runs draw datasets",
    4: "lvlm selectors splits batches model_card",
    5: "collect localize localize_spans looks text_stats finding training analysis calibrate publish",
    6: "ground evaluate evaluate_many evaluate_refer rivals zoom compare compare_refer cells tables tables_many "
    "tables_refer reported_heads draw_report draw_many draw_refer draw_gallery "
    "ablations draw_heads tables_localization draw_locate draw_training "
    "draw_paper draw_entropy draw_layers draw_pairs tables_analysis reproduce exports "
    "export_files",
    7: "cli integrations web",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
ROOMS = {
    "transformers": "lvlm",
    "tokenizers": "lvlm",
    "matplotlib": "draw",
    "mpl_toolkits": "draw",
    "typer": "cli",
    "sahi": "integrations",
    "lmms_eval": "integrations",
    "vlmeval": "integrations",
    "starlette": "web",
    "uvicorn": "web",
}


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all imported modules, also inside functions; `from glintbox import x` counts as glintbox.x.

    Relative imports begin with dots.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def broken(name: str, text: str) -> list[str]:
    """What the module `name` (first part below glintbox) imports against the rules.

    A public name such as glintbox.Grounder has no floor and counts as the highest: it loads its module unseen.
    """
    found = [full.split(".") for full in imports(ast.parse(text))]
    own = [[*p, ""][1] for p in found if p[0] == "glintbox"]
    up = [module for module in own if FLOOR.get(module, len(FLOORS)) > FLOOR[name]]
    relative = [".".join(p) for p in found if p[0] == ""]
    return up + relative + [p[0] for p in found if p[0] in ROOMS and ROOMS[p[0]] != name]


TOP = SOURCE / "__init__.py"  # names everything lazily: test_exports.py holds that it loads nothing
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != TOP)


def room(path: Path) -> str:
    """The part right below glintbox that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_and_keep_to_their_rooms(path: Path) -> None:
    name = room(path)
    assert name in FLOOR, f"{name} has no floor yet: give it one in FLOORS"
    assert broken(name, path.read_text(encoding="utf-8")) == []


def test_no_module_is_left_out_and_none_stands_on_two_floors() -> None:
    import glintbox

    found = {module.name for module in pkgutil.walk_packages(glintbox.__path__, "glintbox.")}
    tested = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in MODULES}
    assert {name.removesuffix(".__init__") for name in tested} == found
    assert {room(path) for path in MODULES} <= set(FLOOR)
    assert len(FLOOR) == sum(len(names.split()) for names in FLOORS.values())


def test_this_test_can_fail() -> None:
    assert broken("boxes", "from glintbox.records import Head") == ["records"]
    assert broken("boxes", "from glintbox import Grounder\nimport glintbox") == ["Grounder", ""]
    assert broken("boxes", "from . import ground\nfrom .ground import x") == ["..ground", ".ground.x"]
    assert broken("draw", "def f():\n    from glintbox import ground, boxes") == ["ground"]
    assert broken("ground", "import transformers.utils\nfrom matplotlib import figure") == [
        "transformers",
        "matplotlib",
    ]
    assert broken("lvlm", "from transformers import AutoModel\nfrom glintbox.maps import entropy") == []
