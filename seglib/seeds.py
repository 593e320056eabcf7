"""Seeds made from seeds: the same names always give the same number, on every machine."""

from __future__ import annotations

import hashlib

__all__ = ["derive_seed"]


def derive_seed(seed: int, *names: int | str) -> int:
    """A 32-bit seed for one purpose, independent of every other purpose's.

    Nothing is drawn and nothing remembered: the order in which seeds are asked
    for cannot matter, and a resumed run needs no saved generator.

    Args:
        seed: The seed above, of a study or a trial.
        *names: What the new seed is for, for example ``"augment", 12``.

    Returns:
        A whole number in ``[0, 2**32)``.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
