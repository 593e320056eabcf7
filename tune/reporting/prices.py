"""Predicted against actual: what a search was said to cost, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from seglib.recipe import Recipe
from seglib.work import EpochCost
from tune.class_costs import settle_costs
from tune.conditions import Conditions
from tune.cost_classes import cost_class, draw_proposals
from tune.entries import Entry
from tune.forecast import forecast
from tune.price_record import PRICE, Ends, PriceRecord, read_price, read_spent
from tune.price_words import say_figure
from tune.pricing import Scene, list_classes, overheads_of, to_figures, trial_costs
from tune.reporting.evidence import RunData
from tune.study_parts import Fold

__all__ = ["PriceRow", "PricesView", "view_prices"]

_LABELS: Final = {
    "wall_s": "Wall time",
    "trials": "Trials",
    "epochs": "Epochs",
    "device_s": "GPU or core time of all trials",
    "memory_gb": "Memory of the largest trial",
    "kept_gb": "Checkpoints at the end",
    "money": "Money",
}
_WORKER_S: Final = 4.0
"""What a worker takes to import what it needs, where nobody measured it."""

_BESIDE_S: Final = 0.2
"""What an epoch takes beside its row's seconds: checkpoint and tables."""

_DRIFT: Final = 0.15
"""How far one first epoch may be from those to come, as a share."""

_EFFORT: Final = 40_000
_BUSY: Final = 0.85


@dataclass(frozen=True)
class PriceRow:
    """One figure.

    Args:
        name: What it is.
        predicted: Its middle, in words.
        interval: Where nine in ten of such searches would end.
        actual: What it came to, or has come to so far.
        verdict: Whether that lies within; empty while it cannot be told.
        is_off: Does it lie outside?
    """

    name: str
    predicted: str
    interval: str
    actual: str
    verdict: str
    is_off: bool


@dataclass(frozen=True)
class PricesView:
    """The section of one run.

    Args:
        lead: Where the prediction comes from, and how good it was.
        rows: Figures that are known on both sides.
        notes: What may have made a difference.
    """

    lead: str
    rows: tuple[PriceRow, ...]
    notes: tuple[str, ...]


def view_prices(run: RunData) -> PricesView | None:
    """Hold what was predicted against what happened.

    Where nothing was predicted before the search, the first epochs of its first trials make
    a prediction afterwards: so good would it have been.

    Args:
        run: The run.

    Returns:
        The section; None where no trial has trained, or there is nothing to predict from.

    Raises:
        RunError: A file of the run is damaged.
    """
    folder, entries = run.view.folder.path, run.view.entries
    if not any(entry.rows for entry in entries):
        return None
    record = read_price(folder / PRICE)
    told = record or _from_first_epochs(run)
    if told is None:
        return None
    ended = not run.view.held and not any(e.state in ("RUNNING", "WAITING") for e in entries)
    actual = _actual(folder, entries, told)
    rows = []
    for name, value in actual.items():
        if name in told.figures and value is not None:
            rows.append(_row(name, told.figures[name], value, ended=ended))
    lead = _say_source(record, told)
    if ended:
        within = sum(not row.is_off for row in rows)
        lead += f" {within} of {len(rows)} figures came to lie within their intervals."
    else:
        lead += " The search has not ended: the last column is what it has come to so far."
    return PricesView(lead, tuple(rows), tuple(_notes(run, told)))


def _say_source(record: PriceRecord | None, told: PriceRecord) -> str:
    at_once = "one trial" if told.slots == 1 else f"{told.slots} trials"
    if record is not None:
        return (
            f"Predicted by segtune check --price on {record.made}, for {at_once} at once on "
            f"{record.device}: {record.num_measured} of {record.num_classes} cost classes were "
            "measured."
        )
    first = "the first trial" if told.num_measured == 1 else f"{told.num_measured} trials"
    return (
        "Nothing was predicted before the search (segtune check --price does). This is what the "
        f"first epoch of {first} would have told, for {at_once} at once."
    )


def _notes(run: RunData, told: PriceRecord) -> list[str]:
    notes = []
    if told.num_planned != run.study.num_planned:
        notes.append(
            f"Predicted for {told.num_planned or 'an open number of'} trials; the study now has "
            f"{run.study.num_planned or 'an open number'}."
        )
    if told.cpu_share < _BUSY:
        notes.append(
            f"The machine was busy while it was measured: {told.cpu_share:.0%} of the time was "
            "left for it. A search on a machine less busy takes less.".replace("%", " %")
        )
    if len(run.starts) > 1:
        notes.append(
            f"The search was started {len(run.starts)} times; epochs that a death cut off were "
            "trained again, and are in the wall time only."
        )
    return notes


def _row(name: str, ends: Ends, actual: float, *, ended: bool) -> PriceRow:
    middle, interval = say_figure(name, ends)
    low, high = ends[0] * (1 - 1e-9), ends[2] * (1 + 1e-9)
    verdict = ""
    if actual > high:
        verdict = f"{_percent(actual / ends[2] - 1)} above" if ends[2] else "above"
    elif ended:
        verdict = f"{_percent(1 - actual / ends[0])} below" if actual < low else "within"
    return PriceRow(
        name=_LABELS[name],
        predicted=middle,
        interval=interval,
        actual=say_figure(name, (actual, actual, actual))[0],
        verdict=verdict,
        is_off=verdict not in ("", "within"),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%" if share >= 0.01 else "just"


def _actual(
    folder: Path, entries: Sequence[Entry], told: PriceRecord
) -> Mapping[str, float | None]:
    own = {entry.number: entry.rows[_taken_over(entry, entries) :] for entry in entries}
    rows = [row for several in own.values() for row in several]
    spent = read_spent(folder)
    money, wall = told.figures.get("money"), told.figures["wall_s"]
    return {
        "wall_s": spent,
        "trials": sum(entry.started and entry.extends is None for entry in entries),
        "epochs": len(rows),
        "device_s": sum(row["seconds"] for row in rows) * told.each,
        "memory_gb": max((r.get("peak_memory_mb", 0.0) for r in rows), default=0.0) * 2**20 / 1e9,
        "kept_gb": _checkpoints_gb(folder),
        "money": None if money is None or not spent else spent * money[1] / max(wall[1], 1e-9),
    }


def _taken_over(entry: Entry, entries: Sequence[Entry]) -> int:
    """Epochs of another trial with which one began."""
    return sum(len(one.rows) for one in entries if one.number == entry.extends)


def _checkpoints_gb(folder: Path) -> float | None:
    """What is left; two names of one file count once, and None is where all are gone."""
    states = [path.stat() for path in folder.glob("trials/*/checkpoint/*.pt")]
    return sum({one.st_ino: one.st_size for one in states}.values()) / 1e9 if states else None


def _from_first_epochs(run: RunData) -> PriceRecord | None:
    """What could have been said after one epoch of each of the trials that began together."""
    start: Mapping[str, Any] = run.starts[-1] if run.starts else {}
    scene = _scene(run, start)
    if scene is None:
        return None
    proposals = draw_proposals(run.study, scene.why_infeasible)
    classes = list_classes(scene, proposals)
    first = [e for e in run.view.entries if e.rows and e.extends is None][: scene.slots]
    measured: dict[int, tuple[EpochCost, ...]] = {}
    for entry in first:
        name = _class_of(scene, entry)
        if name in classes:
            number = list(classes).index(name)
            measured[number] = (*measured.get(number, ()), _as_cost(entry.rows[0]))
    costs = settle_costs([scene.paper(recipe) for recipe in classes.values()], measured)
    if costs is None:
        return None
    trials = trial_costs(scene, proposals, dict(zip(classes, costs, strict=True)), _one_epoch)
    conditions = Conditions(scene.slots, overheads_of(_WORKER_S), drift=_DRIFT)
    outcomes = forecast(run.study, *trials, conditions, effort=_EFFORT)
    each = float(start.get("gpus") or run.study.resources.cores)
    return PriceRecord(
        made="",
        key="",
        device=str(start.get("device", "")),
        slots=scene.slots,
        num_planned=run.study.num_planned,
        num_measured=len(first),
        num_classes=len(classes),
        on_gpu=scene.on_gpu,
        each=each,
        figures=to_figures(outcomes, each=each),
    )


def _class_of(scene: Scene, entry: Entry) -> str:
    """Empty for a recipe of another version: a report is made of its trials all the same."""
    try:
        return cost_class(scene.settle(Recipe(**entry.recipe)))
    except ValidationError:
        return ""


def _scene(run: RunData, start: Mapping[str, Any]) -> Scene | None:
    """Where it trained; None on a cluster, where nobody knows how many trials at once."""
    data, slots = run.data, start.get("concurrent")
    if not isinstance(slots, int) or slots < 1:
        return None
    if not all(name in data for name in ("channels", "num_logits", "image_size")):
        return None
    return Scene(
        study=run.study,
        channels=tuple(data["channels"]),
        num_logits=data["num_logits"],
        image_size=data["image_size"],
        on_gpu=bool(start.get("gpus")),
        precision=start.get("auto_precision"),
        slots=slots,
    )


def _as_cost(row: Mapping[str, float]) -> EpochCost:
    """A row of an epoch as a cost; there the epoch is one slice, see :func:`_one_epoch`."""
    return EpochCost(
        train_s=row["seconds"], score_s=0.0, rest_s=_BESIDE_S, final_s=0.0, spread=0.1,
        cpu_share=1.0, memory_mb=row.get("peak_memory_mb", 0.0), checkpoint_gb=0.0, share=1.0,
    )  # fmt: skip


def _one_epoch(fold: Fold | None) -> tuple[int, int]:
    return 1, 0
