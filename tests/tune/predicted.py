"""Ways to ask for masks, and pictures to ask them for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seglib.errors import DataError
from seglib.model import Model
from tests.seglib.data.sources import save_picture
from tune.prediction import predict_files


def predict(model: Model, source: Path, out: Path, *, flips: bool = False) -> str:
    console = Console(width=200, file=io.StringIO())
    predict_files(model, source, out, flips=flips, console=console)
    return console.file.getvalue()


def refused(model: Model, source: Path, out: Path) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        predict(model, source, out)
    return [str(problem) for problem in caught.value.problems]


def masks_in(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.*") if path.is_file())


def grey_picture(path: Path, *, size=(20, 30), seed=0, channels=0, dtype=np.uint8) -> Path:
    shape = (*size, channels) if channels else size
    array = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    save_picture(path, array)
    return path
