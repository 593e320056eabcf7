"""The figures of a price in words, for `segtune check --price` and for the report."""

from __future__ import annotations

import math
from collections.abc import Callable

from tune.price_record import Ends

__all__ = ["say_duration", "say_figure", "say_size"]


def say_figure(name: str, ends: Ends) -> tuple[str, str]:
    """A figure in words: its middle, and its interval.

    Args:
        name: As a price's record calls it.
        ends: Low end, middle and high end.

    Returns:
        Both.
    """
    forms: dict[str, Callable[[float], str]] = {
        "wall_s": say_duration,
        "device_s": say_duration,
        "memory_gb": lambda value: say_size(value * 1e9),
        "kept_gb": lambda value: say_size(value * 1e9),
        "money": lambda value: f"{value:,.2f}" if value >= 1 else f"{value:.2g}",
    }
    form = forms.get(name, lambda value: f"{round(value):,}")
    low, middle, high = map(form, ends)
    return middle, "exactly" if low == high else f"{low} to {high}"


def say_duration(seconds: float) -> str:
    """``45 s``, ``2.5 min``, ``12 min`` or ``5.3 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.{1 if seconds < 600 else 0}f} min"
    return f"{seconds / 3600:.{1 if seconds < 36000 else 0}f} h"


def say_size(count: float) -> str:
    """So many bytes, in words."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{math.ceil(count / 1e3)} kB"
