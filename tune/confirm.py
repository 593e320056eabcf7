"""`segtune confirm`: the default, the winner and the runners-up again, over seeds and folds.

They are trained as the rows of a grid, by the same executor and ledger as the search, in
``RUN/confirm``. What they scored is compared in :mod:`tune.reporting.verdicts`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from seglib.data.splits import Splits
from seglib.data.store import Store
from seglib.errors import DataError, Problem, RunError
from seglib.files import write_whole
from tune.candidates import Candidate, choose_candidates, write_study
from tune.conclusion import conclude, show_finding
from tune.opening import open_test_part, require_test_part
from tune.prepared_store import find_store
from tune.reporting.confirmation import CONFIRM, load_openings, save_finding, tell_openings
from tune.reporting.evidence import gather
from tune.reporting.verdicts import WINNER
from tune.request import Request
from tune.run_view import RunView, view_run
from tune.study_file import load_study
from tune.temporary import temporary_folder
from tune.yaml_lines import write_yaml

if TYPE_CHECKING:
    from tune.interruption import Interruption

__all__ = ["Wish", "confirm_run"]

_TOP = _SEEDS = 3


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line.

    Args:
        run: Run directory of a search.
        data: Folder with images, if it is not where it was.
        top: The winner and ``top - 1`` runners-up; None as the confirmation was begun, or 3.
        seeds: Seeds of each; None as it was begun, or 3.
        folds: How many; None as it was begun, or as the study says.
        open_test: Score the locked test part, too?
        address: Of a Ray cluster, or ``local``.
        storage: The search's database, where its URL has a password in it.
    """

    run: Path
    data: Path | None = None
    top: int | None = None
    seeds: int | None = None
    folds: int | None = None
    open_test: bool = False
    address: str = "local"
    storage: str | None = None


def confirm_run(wish: Wish, console: Console, interruption: Interruption | None = None) -> int:
    """Train the candidates again, compare them, and say which one to take.

    Args:
        wish: What was asked for.
        console: Where to show it.
        interruption: Why to wind down.

    Returns:
        The exit code: 0 done, 1 failed, 128 and its number when a signal ended it.

    Raises:
        SegtuneError: Something the user can mend.
    """
    from tune.run import run_search

    view = view_run(wish.run, wish.storage)
    run, start = view.folder.path, (view.folder.starts() or [{}])[-1]
    splits = _require_ready(view)
    if wish.open_test:
        require_test_part(run, splits)
    wish = _as_begun(wish, run / CONFIRM)
    candidates = choose_candidates(view.study, view.entries, wish.top or _TOP)
    study = write_study(
        view.study,
        candidates,
        name=f"{run.name[:90]}-{CONFIRM}",
        num_seeds=wish.seeds or _SEEDS,
        folds=range(_count_folds(wish, splits)),
    )
    if wish.folds is not None:
        study["split"]["folds"] = wish.folds
    _require_same(run / CONFIRM, study["split"]["folds"])
    _say_plan(candidates, study, splits, console)
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as scratch:
        space = Path(scratch) / "confirm.yaml"
        write_whole(space, write_yaml(study))
        request = Request(
            space, _find_data(wish, view, start), run, address=wish.address,
            cache=_find_cache(run, start), report=False, folder=CONFIRM,
        )  # fmt: skip
        code = run_search(request, console, interruption)
    if code:
        return code
    _finish(wish, view, splits, candidates, console=console)
    return 0


def _finish(
    wish: Wish,
    view: RunView,
    splits: Splits,
    candidates: Sequence[Candidate],
    *,
    console: Console,
) -> None:
    """Compare, write down, open the test part if asked to, and make both reports anew."""
    from tune.reporting.page import add_report

    run = view.folder.path
    (confirmed,) = gather(run / CONFIRM)
    store = _open_store(run / CONFIRM, confirmed.starts[-1])
    if confirmed.splits is None or confirmed.splits.test != splits.test:
        problem = Problem("splits.json", "another test part", "that of the search")
        raise RunError(str(run / CONFIRM), [problem])
    finding = conclude(
        confirmed, candidates, splits, store.index, searched=view.study, search=run.name
    )
    save_finding(run, finding)
    show_finding(finding, console)
    if wish.open_test:
        open_test_part(run, confirmed, candidates, store, console=console)
    elif warning := tell_openings(load_openings(run)):
        console.print(warning, style="bold red", markup=False, highlight=False)
    for folder in (run, run / CONFIRM):
        add_report(folder, console, wish.storage if folder == run else None)


def _require_ready(view: RunView) -> Splits:
    """A search that has ended, with its split; all that is wrong is told at once."""
    run, problems = view.folder.path, []
    if view.held:
        hint = "wait for its end, or stop it: what wins may still change"
        problems.append(Problem("run", "a search at work here", "one that has ended", hint))
    if run.name == CONFIRM and (run.parent / "study.yaml").is_file():
        wanted = f"the search's own folder, {run.parent}"
        problems.append(Problem("run", "a confirmation", wanted))
    if not view.folder.splits.exists():
        problems.append(Problem("splits.json", "no such file", "what the search wrote"))
    if problems:
        raise RunError(str(run), problems)
    return Splits.load(view.folder.splits)


def _as_begun(wish: Wish, folder: Path) -> Wish:
    """What was not asked for is as the confirmation here was begun, if it was."""
    if not (folder / "study.yaml").is_file():
        return wish
    before = load_study(folder / "study.yaml", demo=False)
    others = len(before.points) - (WINNER in before.point_names)
    return replace(
        wish,
        top=wish.top or others,
        seeds=wish.seeds or len(before.seeds),
        folds=wish.folds or before.split.folds,
    )


def _count_folds(wish: Wish, splits: Splits) -> int:
    """As many as asked for, or as there are."""
    known = len(splits.folds)
    if wish.folds is None:
        return known
    groups = len({*splits.train, *splits.val})
    most = known if splits.fold_trains else groups
    if wish.folds > most:
        what = "that came with the data" if splits.fold_trains else "groups outside the test part"
        problem = Problem("--folds", str(wish.folds), f"at most {most}, the number of {what}")
        raise RunError("command line", [problem])
    return wish.folds


def _require_same(folder: Path, num_folds: int) -> None:
    """Folds of another division compare with none."""
    if not (folder / "study.yaml").is_file():
        return
    before = load_study(folder / "study.yaml", demo=False).split.folds
    if before != num_folds:
        hint = f"remove {folder} to begin the confirmation anew"
        wanted = f"{before}, as the confirmation here was begun"
        raise RunError("command line", [Problem("--folds", str(num_folds), wanted, hint)])


def _find_data(wish: Wish, view: RunView, start: dict[str, Any]) -> Path | None:
    """The folder that was given, or the one that the search had."""
    from seglib.data.spec import PHANTOM_LAYOUTS

    if wish.data is not None or view.study.data.layout in PHANTOM_LAYOUTS:
        return wish.data
    source = start.get("source")
    if source and Path(source).is_dir():
        return Path(source)
    found = f"{source}, where nothing is any more" if source else "nothing, and none written down"
    raise DataError("command line", [Problem("--data", found, "the folder with the images")])


def _find_cache(run: Path, start: dict[str, Any]) -> Path:
    """Where prepared data are, so that they are not prepared again."""
    before = Path(start.get("cache", run.parent / ".cache"))
    return before if before.is_dir() else run.parent / ".cache"


def _open_store(run: Path, start: Any) -> Store:
    store = find_store(run, start)
    if store is None:
        raise RunError(str(run), [Problem("prepared data", "gone", "what was trained on")])
    return store


def _say_plan(
    candidates: Sequence[Candidate], study: dict[str, Any], splits: Splits, console: Console
) -> None:
    seeds, folds = len(study["seeds"]), len(study["folds"])
    names = ", ".join(
        one.name if one.trial is None else f"{one.name} (trial {one.trial})" for one in candidates
    )
    groups = len({name for fold in splits.folds for name in fold})
    unit = "patients" if splits.by == "patient" else "SLICES"
    lines = [
        f"confirm: {names}",
        f"{len(candidates)} recipes x {seeds} seeds x {folds} folds: "
        f"{len(candidates) * seeds * folds} trainings at full length, none is stopped early; "
        f"{groups} {unit}, each scored by networks that have not seen it",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
