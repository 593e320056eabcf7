"""The command line: `segtune run`, `check`, `data`, `status`, `schema`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console

from seglib.errors import InvalidInput, SegtuneError
from tune.run import Request, run_search

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Tune a 2-D medical segmentation network, lose nothing, and believe the answer.",
)

Space = Annotated[Path, typer.Option("--space", help="Study file (YAML).")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder with the images. Without it the file's demo: part runs."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for run directories and prepared data.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the file; repeatable."),
]
Trials = Annotated[
    str | None,
    typer.Option("--trials", metavar="N|+N", help="Cap on trials; +N: N more than the file says."),
]


@app.command()
def run(
    space: Space,
    data: Data = None,
    out: Out = Path("runs"),
    set_: Set = None,
    trials: Trials = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would run, as `segtune check`.")
    ] = False,
    address: Annotated[
        str, typer.Option("--address", help="Of a Ray cluster; local starts Ray for this search.")
    ] = "local",
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="Database URL of the ledger; else a file in the run."),
    ] = None,
) -> None:
    """Run a search, or continue it: the same command goes on where it ended."""
    request = Request(space, data, out, tuple(set_ or ()), trials, address, storage)
    if check:
        _print_plan(request)
        return
    raise typer.Exit(run_search(request, _console()))


@app.command()
def check(
    space: Space,
    data: Data = None,
    out: Out = Path("runs"),
    set_: Set = None,
    trials: Trials = None,
) -> None:
    """Check a study file and say what would run; starts nothing."""
    _print_plan(Request(space, data, out, tuple(set_ or ()), trials))


@app.command()
def data(
    folder: Annotated[Path, typer.Argument(help="Folder with the images.")],
    set_: Set = None,
) -> None:
    """Say what a data folder holds: layout, patients, channels, classes."""
    from tune.plan import describe_data

    describe_data(folder, tuple(set_ or ()), _console())


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="A run directory, such as runs/brats.")],
) -> None:
    """Show the leaderboard of a search, finished or not; it may be running meanwhile."""
    from tune.report import show_status

    show_status(run, _console())


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from tune.study_schema import schema as build_schema

    sys.stdout.write(json.dumps(build_schema(), indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake is told in one message, without a traceback.

    Args:
        arguments: Words after the command; those of the process if not given.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong input, 130 or 143 interrupted.
    """
    try:
        result = app(args=arguments, standalone_mode=False, prog_name="segtune")
    except InvalidInput as error:
        _complain(str(error))
        return error.exit_code
    except SegtuneError as error:
        _complain(str(error))
        return error.exit_code
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return int(result or 0)


def _console() -> Console:
    """A terminal as wide as it is; a pipe wide enough for every line."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _print_plan(request: Request) -> None:
    from tune.plan import describe_plan

    describe_plan(request, _console())


def _complain(text: str) -> None:
    Console(stderr=True).print(
        f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True
    )
