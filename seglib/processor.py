"""What the system tells about the processor. Loads no torch, so that ``cost`` may ask, too."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["has_fast_bf16", "processor_name"]

_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def processor_name() -> str:
    """The maker's name of the model, where the system tells it; else something like it."""
    return _cpuinfo().get("model name", "") or platform.processor() or "CPU"


def has_fast_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself.

    One that does not takes three times as long as for float32, as each number is converted
    there and back; see decision 024. The flags of Linux are read, no time is taken: with a
    stopwatch the same seed might give other bits on a busy day.
    """
    return not _BF16_FLAGS.isdisjoint(_cpuinfo().get("flags", "").split())


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of its first processor; nothing elsewhere."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
