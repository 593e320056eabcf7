"""`segtune evaluate`: a model on any labelled folder, scored case by case at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from seglib.errors import Problem, RunError
from seglib.files import require_place, write_whole
from tune.progress import progress_on

if TYPE_CHECKING:
    import pandas as pd

    from seglib.data.dataset import Item
    from seglib.metrics import Scores
    from seglib.model import Model
    from seglib.predict import Predictor
    from seglib.source_scores import SourceTally
    from tune.familiar import Familiar
    from tune.labelled_folder import Labelled
    from tune.progress import Report

__all__ = ["evaluate_folder"]

_HEAD = b"case,patient,class,"


def evaluate_folder(
    model: Model,
    folder: Path,
    out: Path,
    *,
    overrides: Sequence[str],
    flips: bool,
    console: Console,
) -> None:
    """Predict every labelled image of a folder, score it, print a summary, write a table.

    Args:
        model: The model.
        folder: Images with their masks, in any layout that a search reads.
        out: The CSV file: a row for each case and class.
        overrides: ``KEY=VALUE`` for the way that the folder is read.
        flips: Average over the image and its mirror images.
        console: Where to print.

    Raises:
        DataError: The folder is not understood, its files have faults, or its classes are
            not the model's.
        StudyFileError: An override is none.
        RunError: The table cannot be written there.
        UnwritableError: The place takes no more files.
    """
    from seglib.predict import Predictor
    from tune.evaluation_table import build_table, explain
    from tune.familiar import Familiar
    from tune.labelled_folder import find_labelled, read_settings, require_readable

    _require_table(out)
    settings = read_settings(overrides)
    predictor = Predictor(model, flips=flips)
    labelled = find_labelled(predictor, folder, settings)
    _introduce(labelled, folder, console)
    familiar = Familiar(model.card)
    with progress_on(console) as report:
        require_readable(labelled, folder, report)
        scores, per_case = _score(predictor, labelled, familiar, report)
    console.print(build_table(scores, per_case))
    for line in explain(scores, per_case):
        _say(console, line)
    if compared := familiar.compare(per_case):
        _say(console, compared)
    for line in familiar.warnings(per_case):
        console.print(Text(line), style="bold red", soft_wrap=True)
    write_whole(out, per_case.to_csv(index=False))
    _say(console, f"written: {out}")


def _require_table(out: Path) -> None:
    """The table can be written there, and nothing but such a table is written over."""
    require_place(out, "--out", folder=False)
    wanted = "a new file, or a table of this command"
    if out.exists() and not out.is_file():
        raise RunError(str(out), [Problem("--out", "no common file", wanted)])
    if out.exists() and out.stat().st_size:
        with out.open("rb") as file:
            head = file.read(len(_HEAD))
        if head != _HEAD:
            raise RunError(str(out), [Problem("--out", "a file that is no such table", wanted)])


def _introduce(labelled: Labelled, folder: Path, console: Console) -> None:
    dataset = labelled.dataset
    patients = len({item.group for item in dataset.items})
    cases = len({item.case for item in dataset.items})
    counts = ", ".join(
        f"{number} {word}{'s' * (number != 1)}"
        for number, word in ((patients, "patient"), (cases, "case"), (len(dataset.items), "image"))
    )
    _say(console, f"{folder.resolve().name} ({dataset.layout}): {counts}")
    for line in labelled.said:
        _say(console, f"note: {line}")


def _score(
    predictor: Predictor, labelled: Labelled, familiar: Familiar, report: Report
) -> tuple[Scores, pd.DataFrame]:
    """Every image predicted and held against its mask; the table names patients, too."""
    from seglib.source_scores import SourceTally

    items = sorted(labelled.dataset.items, key=lambda item: (item.case, item.slice or 0))
    tally = SourceTally(predictor.model.inputs.target)
    for number, item in enumerate(items):
        _score_item(item, predictor, labelled, tally=tally, familiar=familiar)
        report(number + 1, len(items), "scoring")
    scores, per_case = tally.scores()
    patients = {item.case: item.group for item in items}
    per_case.insert(1, "patient", per_case["case"].map(patients))
    known = familiar.by_case(patients)
    per_case["known_to_model"] = per_case["case"].map(known)
    return scores, per_case


def _score_item(
    item: Item, predictor: Predictor, labelled: Labelled, *, tally: SourceTally, familiar: Familiar
) -> None:
    from seglib.data.source import read_item
    from seglib.errors import DataError
    from seglib.postprocess import truth_planes
    from seglib.source_scores import Grid

    problems: list[Problem] = []
    loaded = read_item(item, labelled.plan, problems)
    if loaded is None:  # it could be read a moment ago
        raise DataError(str(labelled.plan.root), problems)
    if familiar.knows_images:
        known = predictor.model.inputs.channels
        places = [known.index(name) for name in predictor.channels]
        for _, images in predictor.network_images(loaded, labelled.channels):
            familiar.look(item.case, images[..., places])
    pred = predictor.segment(loaded, labelled.channels)
    true = truth_planes(loaded.labels, labelled.plan.target)[:, list(labelled.order)]
    tally.update(item.case, pred, true, Grid(loaded.spacing_mm, loaded.located))


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
