"""Options that commands share, as Typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Data",
    "Extend",
    "GpuHour",
    "Out",
    "Price",
    "PriceMinutes",
    "Set",
    "Space",
    "Storage",
    "Trials",
]

Space = Annotated[
    Path,
    typer.Option(
        "--space", metavar="FILE", help="Study file (YAML): what is searched; or a suite."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder with images; without it the file's demo part runs.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for run directories, prepared data.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Lay a value over the file, as epochs=20; repeatable."
    ),
]
Trials = Annotated[
    str | None,
    typer.Option("--trials", metavar="N|+N", help="Trials in all; +N: N more than in the file."),
]
Extend = Annotated[
    int,
    typer.Option(
        "--extend",
        metavar="N",
        min=0,
        help="With epochs raised: train the best N complete trials on, as new trials.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Database of the ledger, if not a file; SEGTUNE_STORAGE says it, too.",
    ),
]
Price = Annotated[
    bool,
    typer.Option(
        "--price", help="Also measure an epoch of each kind of trial; say what the search costs."
    ),
]
GpuHour = Annotated[
    float | None,
    typer.Option(
        "--gpu-hour",
        metavar="PRICE",
        min=0.0,
        help="With --price: what an hour of a GPU costs; of this machine if it has none.",
    ),
]
PriceMinutes = Annotated[
    float | None,
    typer.Option(
        "--price-minutes",
        metavar="N",
        min=0.05,
        max=600.0,
        help="With --price: time for measuring, for each study.",
        show_default="2",
    ),
]
