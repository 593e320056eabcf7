"""Training, ours beside the peers: images a second, share of what the core can do, memory.

    benchmarks/setup.sh && python benchmarks/training.py [--quick] [--peers keras nnunet]

Everywhere a U-Net of the same widths and depth, the same slices, batch and augmentation, fp32,
one thread on one core; `peers/` holds a script for each. Where ours would choose bf16 by
itself, as the processor has it, that is a row of its own: no peer does so unasked.

Ours is the whole epoch of a trial: loader, training, scores, validation, checkpoint; its images
are those of training alone. Of a peer only training and its own loader count, neither validation
nor files. GFLOP are counted for forward and backward of training alone, everywhere; Keras'
network is ours. The networks differ where their makers differ: nnU-Net and DynUNet halve by
strides instead of pools, have instance norm and leaky ReLU (so has BasicUNet), nnU-Net has three
more outputs and a second class; ours has no bias before batch norm, Keras has. README.md beside
this file holds the last figures.
"""

from __future__ import annotations

import argparse
import statistics
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

from seglib.processor import has_fast_bf16

MATRIX = Side("matrix product", "matrix", "product")
SIDES = (
    Side("ours, fp32", "ours", "fp32"),
    Side("Keras, the lab's U-Net", "with_keras", "unet", venv="keras", goal=1.25),
    Side("nnU-Net, plain U-Net", "with_nnunet", "plain", venv="nnunet", goal=1.8),
    Side("MONAI, BasicUNet", "with_monai", "basic", venv="monai", goal=2.4),
    Side("MONAI, DynUNet", "with_monai", "dynamic", venv="monai"),
)
BY_DEFAULT = Side("ours, bf16", "ours", "auto")
LEAST_SHARE, MOST_MEMORY = 0.55, 0.85
HEADS = (
    "one core, one thread", "images/s: median (range)", "ours is times as fast", "goal",
    "parameters", "GFLOP an image", "GFLOP/s", "of the fp32 product", "peak MB", "ours of it",
)  # fmt: skip


def tell(found: Sequence[Rounds], clock: str) -> None:
    matrix, ours, *peers = found
    limit = statistics.median(matrix.rates(clock)) * matrix.facts["flop"]
    rows = []
    for one in (ours, *peers):
        rates = one.rates(clock)
        flop = one.facts.get("flop", ours.facts["flop"])
        speed = statistics.median(rates) * flop
        peer = one is not ours
        rows.append(
            (
                one.side.name,
                spread(rates),
                spread(one.ratios(clock)) if peer else "1",
                f"{one.side.goal}" if one.side.goal else "",
                f"{one.facts['parameters']:,}",
                f"{flop / 1e9:.2f}",
                f"{speed / 1e9:.1f}",
                f"{speed / limit:.1%}",
                f"{one.peak_mb():.0f}",
                f"{ours.peak_mb() / one.peak_mb():.2f}" if peer else "1",
            )
        )
    tell_table(HEADS, rows)
    products = spread([rate * matrix.facts["flop"] / 1e9 for rate in matrix.rates(clock)], 0)
    print(f"\nmatrix product, fp32, in the same rounds: {products} GFLOP/s")
    for one in found:
        if one.side is BY_DEFAULT:
            tell_default(one, [peer for peer in peers if peer is not one], clock)
    goals = f"{LEAST_SHARE:.0%} of the matrix product, {MOST_MEMORY} of Keras' memory"
    print(f"goals beside, in fp32: {goals}")


def tell_default(ours: Rounds, peers: Sequence[Rounds], clock: str) -> None:
    own = statistics.median(ours.rates(clock))
    told = [
        f"{own / statistics.median(peer.rates(clock)):.2f} x {peer.side.name}" for peer in peers
    ]
    print(f"{ours.side.name}, which it chooses by itself here, by medians: {'; '.join(told)}")


def main() -> None:
    options = parse_options(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]))
    sides = [SIDES[0], *([BY_DEFAULT] if has_fast_bf16() else []), *SIDES[1:]]
    found, missing = compare(sides, options, yardstick=MATRIX)
    print(
        f"{options.train} slices of {options.size} px to train on, {options.val} to validate, "
        f"batch {options.batch}, base {options.base}, depth {options.depth}, dropout "
        f"{options.dropout:g}; {options.rounds} rounds after one to warm up, {options.clock} clock"
    )
    print(", ".join(f"{one.side.name}: {one.facts['versions']}" for one in found[1:]) + "\n")
    tell(found, options.clock)
    tell_missing(missing)


if __name__ == "__main__":
    main()
