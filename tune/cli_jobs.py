"""The commands for searches that run elsewhere: `submit`, `status`, `logs`, `stop`."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from seglib.errors import Problem, RunError
from tune.surroundings import open_console
from tune.urls import choose_ledger, is_url

if TYPE_CHECKING:
    from tune.jobs import JobState

__all__ = ["app"]

app = typer.Typer()

_BOARD = re.compile(r"\S+: best \S+ per trial on ")
_LAST_LINES = 10

Dashboard = Annotated[
    str,
    typer.Option("--address", metavar="URL", help="The cluster's dashboard: http://head:8265."),
]
MaybeDashboard = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="URL", help="The cluster's dashboard: then jobs are meant, not runs."
    ),
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="As submit and status name it.")]


@app.command()
def submit(
    space: Annotated[
        Path, typer.Option("--space", metavar="FILE", help="Study file or suite, on this machine.")
    ],
    address: Dashboard,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIR", help="Folder with images, on the cluster."),
    ] = None,
    storage_path: Annotated[
        str | None,
        typer.Option(
            "--storage-path",
            metavar="DIR|URL",
            help="Where runs go: a folder that all machines see, or s3://…",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The same as a folder on the cluster; with a URL, folder of working copies there.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="Database of the ledger, no password in it."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the file; repeatable."),
    ] = None,
    trials: Annotated[
        str | None, typer.Option("--trials", metavar="N|+N", help="Trials in all, or N more.")
    ] = None,
    extend: Annotated[
        int,
        typer.Option("--extend", metavar="N", min=0, help="Train the best N trials on."),
    ] = 0,
    install: Annotated[
        bool,
        typer.Option("--install", help="Have Ray install the pinned versions for this job."),
    ] = False,
) -> None:
    """Run a search as a job of a Ray cluster.

    The study file is checked here first. The job has the very source that is installed
    here; the cluster's machines must have the pinned versions of all libraries, or
    --install. It does not need this machine any more. The same command goes on where it
    ended.

    The cluster's token is read from RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    """
    from tune.errand import Errand
    from tune.jobs import submit as send

    errand = Errand(
        space,
        data,
        out,
        storage_path,
        storage,
        overrides=tuple(set_ or ()),
        trials=trials,
        extend=extend,
    )
    job = send(errand, address, install=install)
    lines = [
        f"submitted: {job.job}",
        f"run directory: {job.place}",
        *([f"working copy: {copy}, on the head"] if (copy := errand.working_copy) else []),
        "",
        f"segtune logs --address {address} {job.job} --follow",
        f"segtune status --address {address} {job.job}",
        f"segtune stop --address {address} {job.job}",
    ]
    for line in lines:
        open_console().print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|JOB",
            help="Run directory or a suite's folder, or the URL of one; with --address a job.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="Database of the ledger, if not a file."),
    ] = None,
    address: MaybeDashboard = None,
) -> None:
    """Show how a search stands; it may be running meanwhile.

    Counts, trials in training, leaderboard. Nothing is written. --storage is needed
    only if the ledger is a database with a password. With --address: the jobs of a
    cluster, or one of them.
    """
    if address is not None:
        _show_jobs(address, run, open_console())
        return
    name, console, ledger = _require(run, address), open_console(), choose_ledger(storage)
    from tune.status import show_status

    if not is_url(name):
        show_status(Path(name), console, ledger)
        return
    from tune.far_view import fetching_view

    with fetching_view(name) as (folder, notes):
        show_status(folder, console, ledger, is_copy=True)
        for note in notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)


@app.command()
def logs(
    job: Job,
    address: Dashboard,
    follow: Annotated[
        bool, typer.Option("--follow", help="Until the job ends; exit code 1 if it failed.")
    ] = False,
) -> None:
    """Show what a job has said."""
    from tune.dashboard import connect
    from tune.jobs import follow_log, read_log

    console, client = open_console(), connect(address)

    def say(text: str) -> None:
        console.file.write(text)
        console.file.flush()

    if not follow:
        say(read_log(client, address, job))
        return
    end = follow_log(client, address, job, say)
    print(f"{job}: {end.state}", file=sys.stderr)
    raise typer.Exit(int(end.state == "FAILED"))


@app.command()
def stop(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN|JOB", help="Run directory; with --address a job."),
    ] = None,
    address: MaybeDashboard = None,
) -> None:
    """End a search in order: what is trained so far is kept, the same command goes on.

    Waits until it has ended. RUN is the run directory of a search at work on this
    machine; with --address it is a job of a cluster.
    """
    from tune.stop_run import stop_run

    name, console = _require(run, address), open_console()
    if address is None:
        ended, how = stop_run(Path(name)), ""
        how = "" if ended else "it has not ended after 60 s"
    else:
        from tune.dashboard import connect
        from tune.jobs import stop_job

        client = connect(address)
        state, how = stop_job(client, address, name)
        ended = state.has_ended and not how.startswith("it was killed")
        how = f"{how} ({state.state})" if how else ""
    text = f"{name}: {how or 'stopped; what is trained so far is kept, the same command goes on'}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(not ended))


def _require(run: str | None, address: str | None) -> str:
    """The run or the job that is meant; with an address it is a job."""
    if run is None and address is not None:
        hint = "segtune status with the same --address lists them"
        raise RunError("command line", [Problem("JOB", "nothing", "the id of a job", hint)])
    if run is None:
        hint = "for a cluster's job, with --address: its id"
        raise RunError("command line", [Problem("RUN", "nothing", "a run directory", hint)])
    if address is None and run.startswith("segtune-") and not Path(run).exists():
        hint = "a job of a cluster is found with --address http://head:8265"
        raise RunError("command line", [Problem("RUN", run, "a run directory", hint)])
    return run


def _show_jobs(address: str, job: str | None, console: Console) -> None:
    from tune.dashboard import connect
    from tune.jobs import list_jobs, read_log

    client = connect(address)
    jobs = list_jobs(client, address, with_progress=True)
    if job is not None:
        log = read_log(client, address, job)
        jobs = [one for one in jobs if one.job == job]
    if not jobs:
        console.print("no jobs of segtune on this cluster", highlight=False)
        return
    _show_table(jobs, console)
    if job is not None:
        console.print(f"run directory: {jobs[0].place}", markup=False, highlight=False)
        for line in _last_words(log):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _last_words(log: str) -> list[str]:
    """The leaderboard and what follows it, if the log ends with one; else its last lines."""
    lines = log.splitlines()
    boards = [number for number, line in enumerate(lines) if _BOARD.match(line)]
    return lines[boards[-1] :] if boards else lines[-_LAST_LINES:]


def _show_table(jobs: list[JobState], console: Console) -> None:
    """Of the columns only the last gives way: a job's name must be there to copy."""
    rows = []
    for one in jobs:
        since = datetime.fromtimestamp(one.since).strftime("%Y-%m-%d %H:%M")
        code = "–" if one.exit_code is None else str(one.exit_code)
        rows.append((one.job, one.state, since, code, one.progress))
    names = ("job", "state", "since", "exit", "how far")
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    rest = console.width - sum(widths[:-1]) - 2 * len(names)
    widths[-1] = min(widths[-1], max(len(names[-1]), rest))
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, wide in zip(names, widths, strict=True):
        justify: JustifyMethod = "right" if name == "exit" else "left"
        table.add_column(name, no_wrap=True, width=wide, justify=justify)
    for row in rows:
        table.add_row(*map(Text, row))
    if sum(widths) + 2 * len(names) <= console.width:
        console.print(table)
        return
    for row in rows:  # a terminal that is narrower than a name, a state and a time
        console.print("  ".join(row), markup=False, highlight=False, soft_wrap=True)
