"""Input alone, ours beside the peers: decoded slices to augmented batches, images a second.

    benchmarks/setup.sh && python benchmarks/inputs.py [--quick] [--peers keras monai torchio]

Everywhere the lab's task 4: a turn of up to 10 degrees, shifts of up to a tenth, zoom of up to
a fifth, left-right flip, the same on image and mask, for every slice (nnU-Net has no shift).
Ours is the loader of a trial with albumentations, from the mapped store to floats; the peers
start from arrays in memory. A round lasts a second or a pass, whichever is longer.
README.md beside this file holds the last figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from comparison import (
    Rounds,
    Side,
    compare,
    parse_options,
    spread,
    tell_missing,
    tell_table,
)

SIDES = (
    Side("ours, albumentations", "ours", "input"),
    Side("MONAI, CacheDataset", "with_monai", "input", venv="monai", goal=8),
    Side("Keras, ImageDataGenerator", "with_keras", "input", venv="keras"),
    Side("nnU-Net, batchgeneratorsv2", "with_nnunet", "input", venv="nnunet"),
    Side("torchio, SubjectsLoader", "with_torchio", "input", venv="torchio"),
)
LEAST_PER_S = 900
HEADS = (
    "one core, one thread", "images/s: median (range)", "ours is times as fast", "goal", "peak MB",
)  # fmt: skip


def tell(found: Sequence[Rounds], clock: str) -> None:
    ours = found[0]
    rows = [
        (
            one.side.name,
            spread(one.rates(clock), 0),
            "1" if one is ours else spread(one.ratios(clock), 1),
            f"{LEAST_PER_S} a second" if one is ours else f"{one.side.goal or ''}",
            f"{one.peak_mb():.0f}",
        )
        for one in found
    ]
    tell_table(HEADS, rows)


def main() -> None:
    options = parse_options(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]))
    found, missing = compare(SIDES, options)
    print(
        f"{options.train} slices of {options.size} px, batch {options.batch}; "
        f"{options.rounds} rounds after one to warm up, {options.clock} clock"
    )
    print(", ".join(f"{one.side.name}: {one.facts['versions']}" for one in found) + "\n")
    tell(found, options.clock)
    tell_missing(missing)


if __name__ == "__main__":
    main()
