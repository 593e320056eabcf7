"""The command line: `segtune run`, `check`, `fit`, `data`, `report`, `schema`.

Those for after a search are in `cli_models`, those for clusters in `cli_jobs`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from seglib.errors import Problem, RunError, SegtuneError
from tune import cli_jobs, cli_models
from tune.cli_options import (
    Data,
    Extend,
    GpuHour,
    Out,
    Price,
    PriceMinutes,
    Set,
    Space,
    Storage,
    Trials,
)
from tune.interruption import Interruption, conclude_on_signal
from tune.request import Request
from tune.run import run_search
from tune.suite import describe_suite, is_suite, load_suite, run_suite
from tune.surroundings import open_console, settle_surroundings
from tune.urls import choose_ledger, hide_password, is_url

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Tune a 2-D medical segmentation network, lose nothing, and believe the answer.",
    epilog="First steps: segtune check --space FILE, then segtune run --space FILE.",
)
app.add_typer(cli_models.app)  # without a name: its commands stand beside those below
app.add_typer(cli_jobs.app)


def _say_version(wanted: bool) -> None:
    if wanted:
        open_console().file.write(f"segtune {version('segtune')}\n")
        raise typer.Exit()


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Say which it is."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    space: Space,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for run directories, prepared data; with a URL, for working copies.",
            show_default="runs",
        ),
    ] = None,
    set_: Set = None,
    trials: Trials = None,
    extend: Extend = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would run, as segtune check does.")
    ] = False,
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="Ray cluster, or auto, or local."),
    ] = "local",
    storage: Storage = None,
    storage_path: Annotated[
        str | None,
        typer.Option(
            "--storage-path",
            metavar="DIR|URL",
            help="Where run directories and prepared data lie, instead of OUT; s3://… with the "
            "extra s3.",
        ),
    ] = None,
) -> None:
    """Run a search, or continue one.

    The same command goes on where it ended, whatever ended it. The results are in
    OUT/NAME, NAME being the study's: leaderboard.csv, best.yaml, trials/. Those of a
    suite's studies are in OUT/SUITE/NAME.

    A finished trial is not trained again when epochs is raised. --set epochs=100
    --extend 3 trains the best 3 on to epoch 100, each as a trial of its own that begins
    with the epochs and the checkpoint of the old one. Its learning rate goes up again
    at that point: it is not the same as 100 epochs from the start.
    """
    request = Request(
        space,
        data,
        out or Path("runs"),
        tuple(set_ or ()),
        trials,
        address,
        choose_ledger(storage),
        extend=extend,
    ).stored_at(storage_path, out)
    request.require_storage()
    if check:
        _print_plan(request)
        return
    search = run_suite if is_suite(space) else run_search
    raise typer.Exit(conclude_on_signal(lambda console, why: search(request, console, why)))


@app.command()
def check(
    space: Space,
    data: Data = None,
    out: Out = Path("runs"),
    set_: Set = None,
    trials: Trials = None,
    price: Price = False,
    gpu_hour: GpuHour = None,
    price_minutes: PriceMinutes = None,
) -> None:
    """Check a study file and say what would run.

    Starts nothing and writes nothing. All faults of the file are told at once.

    With --price it prepares the data as a search would, trains a part of an epoch of
    each kind of trial that differs in cost, and says what the search will come to, each
    figure with an interval: wall time, epochs, memory, disk, money. The prepared data
    and the prediction are left in OUT/.cache, where the search finds them; its report
    then shows predicted against actual.
    """
    request = Request(space, data, out, tuple(set_ or ()), trials)
    if not price and (gpu_hour is not None or price_minutes is not None):
        given = "--gpu-hour" if gpu_hour is not None else "--price-minutes"
        raise RunError("command line", [Problem(given, "no --price", "--price with it")])
    _print_plan(request)
    if price:
        from tune.price_table import show_price

        requests = load_suite(request).requests if is_suite(space) else [request]

        def act(console: Console, _: Interruption) -> int:
            show_price(requests, console, gpu_hour=gpu_hour, minutes=price_minutes)
            return 0

        raise typer.Exit(conclude_on_signal(act))


@app.command()
def fit(space: Space, data: Data = None, out: Out = Path("runs"), set_: Set = None) -> None:
    """Train one recipe without Ray: the default one, or the first row of a grid.

    The same command goes on where it ended. The files are in OUT/NAME-fit.
    """
    from tune.alone import fit_alone

    request = Request(space, data, out, tuple(set_ or ()))
    raise typer.Exit(conclude_on_signal(lambda console, _: fit_alone(request, console)))


@app.command()
def data(
    folder: Annotated[Path, typer.Argument(help="Folder with the images.")],
    space: Annotated[
        Path | None,
        typer.Option("--space", metavar="FILE", help="Study file that says how to read it."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="How to read it, as data.layout=pairs; repeatable."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="PNG to draw, if not FOLDER-sheet.png here."),
    ] = None,
) -> None:
    """Read every file of a data folder: counts, faults, and a sheet of pictures.

    Checks all that a search would check, and trains nothing. The exit code is 2 if
    there are faults.
    """
    from tune.data_report import describe_data

    describe_data(folder, tuple(set_ or ()), open_console(), sheet=sheet, space=space)


@app.command()
def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run directory, or a suite's folder of them.")
    ],
    storage: Storage = None,
) -> None:
    """Write RUN/report.html: results, what each factor changed, learning curves.

    The page needs no network; the figures are in RUN/figures, too. It can be written
    while the search runs. --storage is needed only if the ledger is a database with
    a password.
    """
    if is_url(run):
        hint = "the page of the search's end lies at the URL: report.html"
        wanted = "its working copy: OUT/NAME on the machine of the search"
        raise RunError("command line", [Problem("RUN", hide_password(run), wanted, hint)])
    from tune.reporting.page import show_report

    show_report(Path(run), open_console(), choose_ledger(storage))


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from tune.study_schema import schema as build_schema

    open_console().file.write(json.dumps(build_schema(), indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake is told in one message, without a traceback.

    Args:
        arguments: Words after the command; those of the process if not given.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong input, 128 and its number for a signal.
    """
    if arguments is None:
        settle_surroundings()
    try:
        app(args=arguments, prog_name="segtune")
    except SegtuneError as error:
        _complain(str(error))
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return 130
    return 0


def _print_plan(request: Request) -> None:
    from tune.plan import describe_plan

    describe = describe_suite if is_suite(request.space) else describe_plan
    describe(request, open_console())


def _complain(text: str) -> None:
    Console(stderr=True).print(
        f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True
    )
