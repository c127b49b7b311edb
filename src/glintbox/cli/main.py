"""The `glintbox` command: puts the commands together and turns errors meant for users into messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import typer

from glintbox.cli import (
    ablate,
    collect,
    compare_heads,
    data,
    doctor,
    env,
    evaluate,
    export,
    find,
    ground,
    heads,
    locate,
    models,
    parse,
    publish,
    refer,
    reported,
    reproduce,
    scenes,
    select,
    train,
    web,
)
from glintbox.cli.console import errors
from glintbox.errors import GlintboxError

app = typer.Typer(
    name="glintbox",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help texts show [x1, y1, x2, y2], which markup would swallow
    context_settings={"help_option_names": ["-h", "--help"]},
    help='glintbox ground street.jpg --query "bicycle" --out found\n\n'
    "Better, scored boxes for small objects from the vision-language model you already run.",
)


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Errors raised on purpose become one message on stderr and exit code 2; others stay visible as bugs."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except GlintboxError as error:
            errors.print(f"[bold red]error:[/] {type(error).__name__}:", end=" ", markup=True)
            errors.print(str(error), soft_wrap=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            told = "stopped; what lies in an output or work folder is kept, run the same command again to go on"
            errors.print(told, soft_wrap=True)
            raise typer.Exit(130) from error

    return run


COMMANDS: Mapping[str, Callable[..., None]] = {
    "ground": ground.ground,
    "locate": locate.locate,
    "select": select.select,
    "export": export.export,
    "parse": parse.parse,
    "collect": collect.collect,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "refer": refer.refer,
    "push": publish.push,
    "pull": publish.pull,
    "reproduce": reproduce.reproduce,
    "web": web.web,
    "doctor": doctor.doctor,
    "models": models.models,
    "env": env.env,
}
HEADS: Mapping[str, Callable[..., None]] = {
    "calibrate": heads.calibrate,
    "find": find.find,
    "show": heads.show,
    "schema": heads.schema,
    "compare": compare_heads.compare,
    "ablate": ablate.ablate,
    "reported": reported.reported,
}
DATA: Mapping[str, Callable[..., None]] = {"counts": data.counts, "ids": data.ids}
SCENES: Mapping[str, Callable[..., None]] = {"make": scenes.make, "sheet": scenes.sheet}
GROUPS = {
    "heads": (HEADS, "Find and show the attention heads that tell good boxes from bad."),
    "data": (DATA, "What a dataset holds, and ids that name its cases."),
    "scenes": (SCENES, "Generated pictures with known boxes."),
}


def told(command: Callable[..., None]) -> str:
    """What a command does, for the overview: its docstring after the line to copy."""
    return " ".join((command.__doc__ or "").split("\n\n")[1].split())


for name, command in COMMANDS.items():
    app.command(name, short_help=told(command))(friendly(command))

for name, (commands, about) in GROUPS.items():
    group = typer.Typer(no_args_is_help=True, help=about)
    for part, command in commands.items():
        group.command(part, short_help=told(command))(friendly(command))
    app.add_typer(group, name=name, short_help=about)
