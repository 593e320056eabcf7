"""The locked test part: opened on request, once, and every opening is written down in the run."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from seglib.data.splits import Splits, rows_of
from seglib.data.store import Store
from seglib.errors import Problem, RunError
from seglib.files import write_whole
from seglib.foreign import read_bounded
from tune.candidates import Candidate
from tune.conclusion import Networks, list_networks, score_patients, show_contests, to_found
from tune.reporting.confirmation import (
    Opening,
    load_openings,
    replace_opening,
    save_openings,
    tell_openings,
    to_contests,
)
from tune.reporting.evidence import RunData
from tune.reporting.verdicts import compare_all
from tune.trial_files import LAST, trial_folder

__all__ = ["open_test_part", "require_test_part"]

_MOST_BYTES = 2**28
_TEXT = {"case": "str", "class": "str"}


def require_test_part(run: Path, splits: Splits) -> None:
    """Refuse before anything is trained what could not be opened afterwards.

    Args:
        run: The run directory of the search.
        splits: Its division.

    Raises:
        RunError: No patient is locked away, or the record of openings is damaged.
    """
    load_openings(run)
    if not splits.test:
        hint = "split.test says which share is locked away before a search begins"
        problem = Problem("--open-test", "no locked test part in this run", "one", hint)
        raise RunError(str(run), [problem])


def open_test_part(
    run: Path,
    confirmed: RunData,
    candidates: Sequence[Candidate],
    store: Store,
    *,
    console: Console,
) -> None:
    """Score the test patients by the confirmed networks, after their last epoch.

    That it was opened is written down before the first network sees a patient. One that
    was broken off goes on; the same networks again are the same opening, and are shown.

    Args:
        run: The run directory of the search.
        confirmed: That of the confirmation.
        candidates: What was confirmed.
        store: The prepared data.
        console: Where to show it.

    Raises:
        RunError: A network is gone, or the record is damaged.
    """
    networks = list_networks(confirmed, candidates)
    if confirmed.splits is None:
        raise RunError(str(run), [Problem("splits.json", "no such file", "what was confirmed")])
    openings = list(load_openings(run))
    opening = _new_opening(networks, confirmed.splits)
    known = {one.networks: one for one in openings}
    opening = known.get(opening.networks, opening)
    if not opening.done:
        _require_networks(confirmed.view.folder.path, networks)
    if opening.networks not in known:
        openings.append(opening)
        save_openings(run, openings)
        if warning := tell_openings(openings):
            console.print(warning, style="bold red", markup=False, highlight=False, soft_wrap=True)
    if not opening.done:
        tables = _score(confirmed, networks, store, console)
        opening = _conclude(
            opening, networks, tables, store.index, num_folds=len(confirmed.study.parts)
        )
        openings = list(replace_opening(run, opening))
    _show(opening, openings, console)


def _new_opening(networks: Sequence[Networks], splits: Splits) -> Opening:
    """Known by its networks: which recipes, under which seeds and folds, and what they scored."""
    told = [
        [dict(one.candidate.recipe),
         [[t.entry.number, t.entry.seed, t.entry.fold, t.entry.rows[-1]["score"]]
          for t in one.trials]]
        for one in networks
    ]  # fmt: skip
    content = json.dumps([told, splits.test], sort_keys=True).encode()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        user = "somebody"
    return Opening(
        at=time.strftime("%Y-%m-%d %H:%M"),
        by=f"{user} on {platform.node() or 'a machine without a name'}",
        networks=hashlib.sha256(content).hexdigest()[:16],
        num_networks=sum(len(one.trials) for one in networks),
        patients=len(splits.test),
    )


def _require_networks(run: Path, networks: Sequence[Networks]) -> None:
    gone = [
        f"trial {trial.entry.number}"
        for one in networks
        for trial in one.trials
        if not (trial_folder(run, trial.entry.number) / LAST).is_file()
        and not _scores_file(run, trial.entry.number).is_file()
    ]
    if gone or not any(one.trials for one in networks):
        found = f"no last.pt of {', '.join(gone)}" if gone else "no network"
        raise RunError(str(run), [Problem("checkpoints", found, "the confirmed networks")])


def _scores_file(run: Path, number: int) -> Path:
    return run / "test" / f"{number}.csv"


def _score(
    confirmed: RunData, networks: Sequence[Networks], store: Store, console: Console
) -> dict[int, pd.DataFrame]:
    """What each network scored on the test patients; what is known is not computed again."""
    from seglib.evaluate import evaluate

    folder, splits = confirmed.view.folder.path, confirmed.splits
    assert splits is not None
    rows = rows_of(store.index, splits.test, by=splits.by)
    numbers = [trial.entry.number for one in networks for trial in one.trials]
    tables = {}
    for place, number in enumerate(numbers, 1):
        path = _scores_file(folder, number)
        table = _read(path)
        if table is None:
            table = evaluate(trial_folder(folder, number) / LAST, store, rows).per_case
            path.parent.mkdir(exist_ok=True)
            write_whole(path, table.to_csv(index=False))
            line = f"test part: network {place} of {len(numbers)}"
            console.print(line, markup=False, highlight=False)
        tables[number] = table
    return tables


def _read(path: Path) -> pd.DataFrame | None:
    """What a network scored before; None where it must be asked, also as the file is damaged."""
    try:
        content = io.BytesIO(read_bounded(path, _MOST_BYTES))
        table = pd.read_csv(content, dtype=_TEXT, keep_default_na=False, na_values=[""])
    except (OSError, ValueError):
        return None
    return table if {"case", "class", "tp", "fn", "dice"} <= {*table} else None


def _conclude(
    opening: Opening,
    networks: Sequence[Networks],
    tables: Mapping[int, pd.DataFrame],
    index: pd.DataFrame,
    *,
    num_folds: int,
) -> Opening:
    """The opening with its figures: each patient's Dice is the mean over a seed's networks."""
    patients = dict(zip(index["case"].astype(str), index["group"].astype(str), strict=True))
    scores = [
        score_patients([(t.column, tables[t.entry.number]) for t in one.trials], patients)
        for one in networks
    ]
    contenders = [one.contend(table) for one, table in zip(networks, scores, strict=True)]
    candidates = [one.candidate for one in networks]
    comparisons = compare_all(contenders, (), num_folds)
    recipes = [to_found(one, t, candidates) for one, t in zip(networks, scores, strict=True)]
    return opening.model_copy(
        update={
            "done": True,
            "recipes": tuple(recipes),
            "contests": to_contests(comparisons),
            "patients": len({name for table in scores for name in table.index}),
        }
    )


def _show(opening: Opening, openings: Sequence[Opening], console: Console) -> None:
    title = f"locked test part, opened {opening.at} by {opening.by}: Dice on "
    title += f"{opening.patients} patients, {opening.num_networks} networks"
    show_contests(title, opening.recipes, opening.contests, console)
    if warning := tell_openings(openings):
        console.print(warning, style="bold red", markup=False, highlight=False, soft_wrap=True)
