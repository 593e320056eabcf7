"""`python tune/run.py --space FILE`: a whole search, from study file to leaderboard."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from tune.allotment import Allotment, allot, require_place, say_shares, settle, survey
from tune.number_format import named
from tune.preparing import DEMO, prepare_data
from tune.price_record import SpentTime, keep_price
from tune.request import Request
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from seglib.data.splits import Splits
    from seglib.data.store import Store
    from seglib.recipe import Recipe
    from tune.executor import Job
    from tune.interruption import Interruption
    from tune.ledger import Ledger
    from tune.nodes import Node
    from tune.retention import Quota
    from tune.run_directory import RunDirectory

__all__ = ["run_search"]

_SECONDS_A_SURVEY_HOLDS: Final = 60.0


_NOBODY = Console(quiet=True)
"""Who confirms a search says what was found; by its best epochs another recipe might win."""


def run_search(request: Request, console: Console, interruption: Interruption | None = None) -> int:
    """Prepare the data, run or continue the search, write and show what it found.

    Args:
        request: What was asked for.
        console: Where to show it.
        interruption: Why to wind down, for a caller whom it concerns, too.

    Returns:
        The exit code: 0 done, 1 failed, 128 and its number when a signal ended it.

    Raises:
        SegtuneError: Something the user can mend.
        Interrupted: A signal came while nothing was in training.
    """
    study = request.load_to_train()
    from tune.announcement import announce
    from tune.extension import extend_trials

    require_place(study, request.address)
    folder = _folder(request, study)
    with folder.locked():
        surveyed = survey(study, request.address, _shared(folder)), time.monotonic()
        if study.data.layout in PHANTOM_LAYOUTS:
            console.print(DEMO, style="bold yellow", markup=False)
        changes = folder.compare_study(study)
        store = prepare_data(request, study, console)
        splits = folder.settle_splits(store, study)
        storage = folder.settle_storage(request.storage, study)
        allotment, where = _allot(request, folder, study, store, surveyed=surveyed, console=console)
        quota = _quota(study, store, allotment)
        ledger = _open_ledger(study, storage, store, quota=quota, allotment=allotment)
        folder.take_over()  # nothing is refused any more
        folder.settle_study(study)
        _tell(changes, console)
        keep_price(folder.path, request.prepared, study, store.key)
        _tell(extend_trials(ledger, folder.path, request.extend, folder.mirror), console)
        if splits.by == "slice":
            console.print(f"warning: {splits.warning}", style="yellow", markup=False)
        job = _job(request, folder, study, store=store, splits=splits, allotment=allotment)
        folder.write_environment(store, request.storage, where)
        job = _with_places(job, request, folder, store)
        announce(ledger, store, job, num_locked=len(splits.test), console=console)
        has_more = ledger.has_more()
        code = _train(ledger, job, folder, console, interruption=interruption, quota=quota)
        # after 1 why is said; who is to mend it looks for nothing else
        shown = console if request.folder is None else _NOBODY
        if code == 1 or not _conclude(ledger, folder, store, shown):
            return code or 1
        _add_report(request, folder, console, code)
        if code < 128 and has_more:
            _add_summary(ledger, folder, request)
    return code


def _folder(request: Request, study: StudyFile) -> RunDirectory:
    from tune.run_directory import RunDirectory

    name = request.folder or study.folder_name
    url = request.mirror and f"{request.mirror}/{name}"
    return RunDirectory((request.out / name).resolve(), url)


def _tell(sentences: Sequence[str], console: Console) -> None:
    for sentence in sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _allot(
    request: Request,
    folder: RunDirectory,
    study: StudyFile,
    store: Store,
    *,
    surveyed: tuple[Sequence[Node] | None, float],
    console: Console,
) -> tuple[Allotment, dict[str, Any]]:
    """What a trial gets, which is said, and what is to be written down of where it trains."""
    nodes, at = surveyed
    if time.monotonic() > at + _SECONDS_A_SURVEY_HOLDS:  # nodes join and die
        nodes = survey(study, request.address, _shared(folder))
    allotment = allot(study, store, nodes)
    text = say_shares(study, nodes, allotment)
    allotment, where, said = settle(allotment, nodes, folder.starts())
    console.print(text + said, end="", markup=False, highlight=False, soft_wrap=True)
    where |= {**request.places(), "concurrent": allotment.concurrent, "gpus": allotment.gpus}
    return allotment, where


def _quota(study: StudyFile, store: Store, allotment: Allotment) -> Quota | None:
    from tune.retention import Quota

    return Quota.of(study, store, allotment.concurrent)


def _open_ledger(
    study: StudyFile,
    storage: BaseStorage,
    store: Store,
    *,
    quota: Quota | None,
    allotment: Allotment,
) -> Ledger:
    from tune.feasibility import why_infeasible
    from tune.ledger import Ledger

    def infeasible(recipe: Recipe) -> str:
        reason = why_infeasible(
            named(recipe, allotment.precision),
            study.constraints,
            channels=store.channels,
            num_logits=store.target.num_logits,
            image_size=store.image_size,
            on_gpu=allotment.gpus > 0,
        )
        return reason or ("" if quota is None else quota.why_too_large(recipe))

    return Ledger(study, storage, infeasible)


def _shared(folder: RunDirectory) -> tuple[Path | str, ...]:
    """What every node must see: with a URL nodes keep their files to themselves."""
    return (folder.path,) if folder.mirror is None else (folder.mirror.url,)


def _job(
    request: Request,
    folder: RunDirectory,
    study: StudyFile,
    *,
    store: Store,
    splits: Splits,
    allotment: Allotment,
) -> Job:
    from tune.division import list_folds
    from tune.executor import Job

    return Job(
        run_dir=folder.path,
        store=store.path,
        split=splits.search_part(),
        cpus=allotment.cpus,
        gpus=allotment.gpus,
        concurrent=allotment.concurrent,
        retries=study.resources.retries,
        compile=study.resources.compile,
        address=request.address,
        precision=allotment.precision,
        shared=_shared(folder),
        folds=list_folds(splits, study),
    )


def _with_places(job: Job, request: Request, folder: RunDirectory, store: Store) -> Job:
    """With where things lie for the nodes of a cluster, once they lie there."""
    from tune.node_store import offer_store

    if folder.mirror is not None:
        folder.mirror.push()
        job = replace(job, url=folder.mirror.url)
    if request.address == "local":
        return job
    if request.mirror is None:
        return replace(job, store_key=store.key)
    url = f"{request.mirror}/.cache/stores/{store.key}"
    offer_store(store, url)
    return replace(job, store_key=store.key, store_url=url)


def _train(
    ledger: Ledger,
    job: Job,
    folder: RunDirectory,
    console: Console,
    *,
    interruption: Interruption | None,
    quota: Quota | None,
) -> int:
    """Run what the ledger asks for, and write what was found; returns the exit code."""
    from tune.announcement import say_nothing_left
    from tune.executor import execute
    from tune.report_writer import ReportWriter
    from tune.retention import CheckpointKeeper
    from tune.screen import watching
    from tune.tracking import build_trackers

    writer, code = ReportWriter(ledger, folder), 0
    if ledger.has_more():
        trackers = build_trackers(ledger, folder.path)
        with ExitStack() as stack:
            for tracker in trackers:
                stack.callback(tracker.close)
            screen = stack.enter_context(watching(ledger, console))
            keeper = CheckpointKeeper(ledger, folder.path, quota, folder.mirror)
            mirrors = [] if folder.mirror is None else [folder.mirror]
            observers = [writer, keeper, *mirrors, *trackers, SpentTime(folder.path), screen]
            code = execute(ledger, job, observers, interruption)
    else:
        say_nothing_left(ledger, console)
    if code != 1:  # else there may be no room for it
        writer.write()
    return code


def _conclude(ledger: Ledger, folder: RunDirectory, store: Store, console: Console) -> bool:
    """Show what was found; was anything?"""
    from tune.leaderboard import show_leaderboard

    for note in store.info.notes:
        if "own patient" in note:
            console.print(f"note: {note}", style="yellow", markup=False)
    if not show_leaderboard(ledger.file, ledger.entries(), console):
        return False
    for name, path in (("leaderboard", folder.leaderboard), ("best recipe", folder.best)):
        console.print(f"{name + ':':13}{path}", markup=False, highlight=False, soft_wrap=True)
    return True


def _add_report(request: Request, folder: RunDirectory, console: Console, code: int) -> None:
    from tune.reporting.page import add_report

    if request.report and code < 128:
        add_report(folder.path, console, request.storage)


def _add_summary(ledger: Ledger, folder: RunDirectory, request: Request) -> None:
    from tune.wandb_summary import add_summary

    add_summary(ledger, folder.path, request.storage)


if __name__ == "__main__":
    # Python puts this file's folder first on the path, where it could shadow other modules.
    sys.path[:] = [
        entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent
    ]
    from tune.cli import main
    from tune.surroundings import settle_surroundings

    settle_surroundings()
    sys.exit(main(["run", *sys.argv[1:]]))
