"""`segtune retrain`: the best recipe trained on training and validation part together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import DataError, Problem, RunError
from tune.picking import taken_recipe
from tune.preparing import build_store
from tune.request import Request
from tune.run import run_search
from tune.run_directory import RunDirectory
from tune.study_file import StudyFile, load_study

if TYPE_CHECKING:
    from seglib.data.store import Store
    from seglib.model import Model
    from tune.interruption import Interruption

__all__ = ["Wish", "retrain_best"]

_BEST = "best.yaml"
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line.

    Args:
        best: A run directory, its ``best.yaml``, or a copy of that anywhere.
        data: Folder with the images; None for where the search had them.
        out: Where the run directory goes; None for beside the search's own.
        seeds: Networks to train.
        address: Of a Ray cluster, or ``local``.
    """

    best: Path
    data: Path | None = None
    out: Path | None = None
    seeds: int = 3
    address: str = "local"


def retrain_best(wish: Wish, console: Console, interruption: Interruption | None = None) -> int:
    """Train the best recipe again, on all but the locked test part; the final model.

    One network per seed, each for all the epochs of the recipe: its last epoch is taken,
    as there are no patients left to choose one on. Their run directory is
    ``OUT/NAME-retrain``, trained by the same executor and kept in the same kind of ledger
    as a search; the same command goes on. At the end ``model.pt`` stands in it.

    Args:
        wish: What was asked for.
        console: Where to show it.
        interruption: Why to wind down.

    Returns:
        The exit code: 0 done, 1 failed, 128 and its number when a signal ended it.

    Raises:
        SegtuneError: Something the user can mend.
    """
    origin = _find(wish.best)
    for sentence in origin.said():
        _say(console, sentence)
    request = _request(wish, origin)
    study = request.load_to_train()
    if origin.run is not None:
        _require_same_data(origin.run, build_store(request, study, console), study)
    code = run_search(request, console, interruption)
    if code:
        return code
    folder = (request.out / study.folder_name).resolve()
    _write_model(RunDirectory(folder), origin, console)
    from tune.reporting.page import add_report

    add_report(folder, console)
    return 0


@dataclass(frozen=True)
class _Origin:
    """Where the recipe is from.

    Args:
        best: The study file that trains it alone.
        run: The run directory that this lies in; None for a copy elsewhere.
        taken: Name and knobs of what a confirmation of the run says to take.
        follows: Is that what is trained? Else it is what ``best`` says.
    """

    best: Path
    run: RunDirectory | None = None
    taken: tuple[str, Mapping[str, Any]] | None = None
    follows: bool = False

    def said(self) -> list[str]:
        if self.taken is None or self.run is None:
            return []
        name = self.taken[0]
        if self.follows:
            return [f"recipe: {name}, as segtune confirm found; best.yaml trains the search's best"]
        instead = f"segtune retrain {self.run.path} trains what it found: {name}"
        return [f"note: the run was confirmed; {instead}"]


def _find(given: Path) -> _Origin:
    """The best recipe's study file, and the run directory that it is of, if it is in one."""
    best = (given / _BEST if given.is_dir() else given).resolve()
    if not best.is_file():
        found = "nothing there" if not given.exists() else f"a folder without {_BEST}"
        hint = "a search writes it when its first trial has ended" if given.exists() else ""
        wanted = "a run directory, or its best.yaml"
        raise RunError(str(given), [Problem("BEST", found, wanted, hint)])
    folder = RunDirectory(best.parent)
    if best.name != _BEST or not folder.study.is_file():
        _require_one_recipe(given, best)
        return _Origin(best)
    if folds := load_study(folder.study, demo=False).folds:
        found = "what was retrained" if folds == "all" else "a confirmation"
        raise RunError(str(given), [Problem("BEST", found, "the run directory of the search")])
    taken = taken_recipe(folder.path)
    return _Origin(best, folder, taken, follows=taken is not None and given.is_dir())


def _require_one_recipe(given: Path, best: Path) -> None:
    """A copy of ``best.yaml`` holds one recipe; a study that searches has none that is best."""
    study = load_study(best, demo=False)
    if study.method == "grid" and len(study.rows) == 1:
        return
    hint = f"the run directory is {best.parent}" if (best.parent / _BEST).is_file() else ""
    wanted = "a run directory, or its best.yaml"
    raise RunError(str(given), [Problem("BEST", "a study of several recipes", wanted, hint)])


def _request(wish: Wish, origin: _Origin) -> Request:
    """The recipe as a study of its own: one row, several seeds, fold ``all``."""
    study, run = load_study(origin.best, demo=False), origin.run
    base = name = study.name.removesuffix("-best")
    if run is not None:
        name = load_study(run.study, demo=False).folder_name
    name = f"{name[: _LONGEST_NAME - len('-retrain')]}-retrain"
    words = f"The best recipe of {base}, trained on training and validation part together."
    overrides = [
        f"name={json.dumps(name)}",
        f"description={json.dumps(words)}",
        f"seeds={list(range(wish.seeds))}",
        "folds=all",
    ]
    if origin.taken is not None and origin.follows:
        values = {key: {"value": value} for key, value in origin.taken[1].items()}
        overrides.append(f"parameters={json.dumps(values)}")
    start = (run.starts() or [{}])[-1] if run is not None else {}
    data = wish.data
    if data is None and study.data.layout not in PHANTOM_LAYOUTS:
        data = Path(start["source"]) if "source" in start else None
        if data is None:
            wanted = "the folder with the images, as nothing says where they were"
            raise DataError("command line", [Problem("--data", "nothing", wanted)])
    out = wish.out or (run.path.parent if run is not None else Path("runs"))
    cache = Path(start["cache"]) if "cache" in start else None
    known = cache if cache is not None and cache.is_dir() else None
    return Request(
        *(origin.best, data, out, tuple(overrides)),
        address=wish.address,
        cache=known,
        report=False,
    )


def _require_same_data(run: RunDirectory, store: Store, study: StudyFile) -> None:
    """The locked part stays locked only while the division is the search's own."""
    from seglib.data.splits import Splits
    from tune.data_changes import describe_changes
    from tune.division import divide

    before = (run.starts() or [{}])[-1].get("data", {}).get("key")
    hint = (
        "put the data back, or give a copy of best.yaml outside of its run directory: the parts "
        "are then drawn anew, and nothing is carried over from the search"
    )
    if before is not None and before != store.key:
        changes = describe_changes(store.path.with_name(before), store)
        found = f"other images or masks ({store.key}); {changes}"
        raise RunError(str(run.path), [Problem("data", found, before, hint)])
    if run.splits.exists() and Splits.load(run.splits) != divide(store, study):
        problem = Problem("splits.json", "another division", "the one of best.yaml", hint)
        raise RunError(str(run.path), [problem])


def _write_model(folder: RunDirectory, origin: _Origin, console: Console) -> None:
    """Put the last epochs of all seeds together, with what the search found out."""
    from tune.assembly import Assembly
    from tune.models import kept_model, write_model
    from tune.picked import MODEL
    from tune.picking import pick_retrained

    picks = pick_retrained(folder.path)
    for sentence in picks.said:
        _say(console, sentence, style="yellow")
    assembly, path = Assembly(picks), folder.path / MODEL
    model, searched = assembly.model(), _searched(origin, console)
    if searched is None:
        note = "not tuned: there is no search whose validation part it could be tuned on"
        post = model.post.model_copy(update={"note": note})
        model = assembly.with_post(model, post, tuned=False)
    else:
        note = f"carried over from the search's networks: {searched.post.note}"
        post = searched.post.model_copy(update={"note": note})
        model = assembly.with_post(model, post, tuned=bool(searched.card.get("tuned")))
        model = replace(model, card={**model.card, "score": _score_of(searched)})
    before = kept_model(path, assembly.key)
    if before is None or before.post != model.post or before.card != model.card:
        write_model(model, path)
    num = len(model.members)
    _say(console, f"model: {num} network{'s' * (num > 1)}, each after its last epoch: {path}")
    _say(console, f"masks: {model.post.note}")
    _say(console, f"next:  segtune predict {path} INPUT OUT")


def _searched(origin: _Origin, console: Console) -> Model | None:
    """The search's model of the recipe, for its post-processing and its score."""
    from tune.models import make_model
    from tune.picking import pick_folds, pick_of_folder

    if origin.run is None:
        return None
    run = origin.run.path
    try:
        picks = pick_folds(run) if origin.follows else pick_of_folder(run)
        return make_model(picks, console, quiet=True)
    except RunError as error:
        _say(console, f"note: {error}", style="yellow")
        return None


def _score_of(searched: Model) -> dict[str, object] | None:
    score = searched.card.get("score")
    of = "of the search's network, trained on fewer patients; not of this model"
    if searched.card.get("kind") == "folds":
        of = "of networks of this recipe, each on patients new to it; not of this model"
    return None if score is None else {**score, "of": of}


def _say(console: Console, sentence: str, style: str | None = None) -> None:
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
