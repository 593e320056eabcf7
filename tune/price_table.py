"""What `segtune check --price` says of a price, or of those of a suite's studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.recipe import Recipe
from tune.class_costs import ClassCost
from tune.cost_classes import cost_class
from tune.likely import INTERVAL
from tune.price import Price, price_search
from tune.price_words import say_duration, say_figure, say_size
from tune.request import Request

__all__ = ["MINUTES", "show_price"]

MINUTES: Final = 2.0
"""What measuring may take, if nobody says otherwise."""

_MOST_CLASSES: Final = 12
_BUSY: Final = 0.85
_MEMORY: Final = Path("/proc/meminfo")


def show_price(
    requests: Sequence[Request],
    console: Console,
    *,
    gpu_hour: float | None,
    minutes: float | None,
) -> None:
    """Measure, and print what each search comes to, and all of them.

    Args:
        requests: One for each study.
        console: Where to print.
        gpu_hour: What an hour of a GPU costs; None if it was not said.
        minutes: What measuring may take for each study; None for :data:`MINUTES`.

    Raises:
        SegtuneError: Something the user can mend.
    """
    prices, minutes = [], minutes or MINUTES
    for request in requests:
        price = price_search(request, console, gpu_hour=gpu_hour, minutes=minutes)
        _show_one(price, console)
        prices.append(price)
    if len(prices) > 1:
        _show_sum(prices, console)
    kept = sorted({str(price.path.parent.parent) for price in prices})
    _say(console, f"left behind: the prepared data and this prediction, in {', '.join(kept)}; a "
                  "search with the same --out uses both")  # fmt: skip


def _show_one(price: Price, console: Console) -> None:
    record, study = price.record, price.study
    at_once = "1 trial" if record.slots == 1 else f"{record.slots} trials"
    console.print()
    title = f"price of {study.name}: on this machine ({record.device}), {at_once} at once"
    console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(_classes_table(price), markup=False)
    console.print(_figures_table(price), markup=False)
    for note in _notes(price):
        _say(console, f"note: {note}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _classes_table(price: Price) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what costs differ by", overflow="fold")
    for name in ("trials", "an epoch", "memory", "checkpoint"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("measured")
    listed = sorted(price.classes, key=lambda one: -one[1])[:_MOST_CLASSES]
    names = _say_classes([recipe for recipe, _, _ in price.classes])
    for recipe, share, found in listed:
        cost, (train, val) = found.cost, price.parts
        table.add_row(
            names[cost_class(recipe)],
            "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %"),
            f"{cost.epoch_s(train, val) / price.record.cpu_share:.3g} s",
            say_size(cost.memory_mb * 2**20),
            say_size(cost.checkpoint_gb * 1e9),
            _how(found),
        )
    left = len(price.classes) - len(listed)
    if left:
        table.add_row(f"and {left} more", "", "", "", "", "")
    return table


def _how(found: ClassCost) -> str:
    if not found.measured:
        return f"worked out, ± {_percent(2 * found.error)}"
    part = "a whole epoch" if found.cost.share >= 1 else f"{found.cost.share:.0%} of an epoch"
    return f"{part.replace('%', ' %')}, ± {_percent(2 * found.error)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _say_classes(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Each class by the knobs in which the classes differ."""
    values = {cost_class(recipe): json.loads(cost_class(recipe)) for recipe in recipes}
    told = [
        name
        for name in dict.fromkeys(name for one in values.values() for name in one)
        if len({json.dumps(one[name]) for one in values.values() if name in one}) > 1
    ]

    def say(name: str, value: object) -> str:
        if name == "dropout":
            return "dropout" if value else "no dropout"
        return f"{name} {json.dumps(value) if isinstance(value, bool) else value}"

    return {
        key: ", ".join(say(name, one[name]) for name in told if name in one) or "all cost the same"
        for key, one in values.items()
    }


def _figures_table(price: Price) -> Table:
    record, figures = price.record, price.record.figures
    low, high = (round(100 * end) for end in INTERVAL)
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("the search")
    table.add_column("expected", justify="right")
    table.add_column(f"{high - low} % interval", justify="right")
    for name, label in _labels(price).items():
        table.add_row(label, *say_figure(name, figures[name]))
    table.add_row("checkpoints while it runs", f"at most {say_size(price.most_gb * 1e9)}", "")
    table.add_row("prepared data", say_size(_folder_size(price.store.path)), "exactly")
    if record.gpu_hour is not None:
        unit = "GPU" if price.allotment.gpus else "machine"
        label = f"money, at {record.gpu_hour:g} an hour of the {unit}"
        table.add_row(label, *say_figure("money", figures["money"]))
    return table


def _labels(price: Price) -> dict[str, str]:
    device = "GPU time of all trials" if price.record.on_gpu else "core time of all trials"
    return {
        "wall_s": "wall time",
        "trials": "trials",
        "epochs": "epochs",
        "device_s": device,
        "memory_gb": "memory of the largest trial",
        "kept_gb": "checkpoints at the end",
    }


def _folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _notes(price: Price) -> list[str]:
    study, record = price.study, price.record
    notes = []
    taken = f"measuring took {say_duration(price.measured.seconds)}"
    if record.num_measured < record.num_classes:
        taken += (
            f", for {record.num_measured} of {record.num_classes} cost classes; the others are "
            "worked out from them (--price-minutes gives more time)"
        )
    notes.append(taken)
    if record.cpu_share < _BUSY:
        notes.append(
            f"this machine is busy with other work: measuring had its cores {record.cpu_share:.0%} "
            "of the time; on a quiet one the search is as much faster".replace("%", " %")
        )
    if price.num_refused:
        notes.append(f"{price.num_refused} planned trials cannot fit and are not in it")
    notes += [
        f"not measured: {reason}" for reason in dict.fromkeys(price.measured.failures.values())
    ]
    if study.metric.target is not None:
        notes.append("the search may end sooner, when it reaches metric.target")
    total = _machine_memory_gb()
    if total and not price.allotment.gpus:
        needed = record.figures["memory_gb"][1] * record.slots
        text = f"trials at once take up to {needed:.1f} GB of this machine's {total:.0f} GB"
        notes += [text if needed < 0.9 * total else f"{text}: fewer at once (resources.concurrent)"]
    if study.data.layout in PHANTOM_LAYOUTS:
        notes.append("measured on generated phantoms; real data cost what their size says")
    return notes


def _machine_memory_gb() -> float | None:
    try:
        line = next(one for one in _MEMORY.read_text().splitlines() if one.startswith("MemTotal:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024 / 1e9


def _show_sum(prices: Sequence[Price], console: Console) -> None:
    """Of studies that run one after another; each may be lucky or not on its own."""
    parts = []
    for name in ("wall_s", "epochs", *(["money"] if prices[0].record.gpu_hour is not None else [])):
        ends = [price.record.figures[name] for price in prices]
        middle = sum(one[1] for one in ends)
        # measured on one machine in one hour, they err together: the ends are added up
        text, interval = say_figure(
            name, (sum(e[0] for e in ends), middle, sum(e[2] for e in ends))
        )
        parts.append(f"{ {'wall_s': 'wall time'}.get(name, name) } {text} ({interval})")
    console.print()
    text = f"all {len(prices)} studies: {', '.join(parts)}"
    console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)
