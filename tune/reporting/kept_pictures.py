"""CasePictures: what there is to see of a run's cases, and the file in which it is kept."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglib.foreign import read_bounded

__all__ = ["CasePicture", "CasePictures", "load_pictures", "pack_pictures"]

_MOST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class CasePicture:
    """Some slices of a case.

    Args:
        case: Its name.
        rank: ``best``, ``median`` or ``worst`` of the validation cases, or ``only``.
        dice: Mean over the classes that its truth holds, of the whole case.
        slices: Numbers of the slices shown.
        num_slices: Of the whole case.
        images: ``(n, H, W)``, or ``(n, H, W, 3)`` in colour.
        truth: ``(n, K, H, W)``, bool.
        pred: The same of the network.
    """

    case: str
    rank: str
    dice: float
    slices: tuple[int, ...]
    num_slices: int
    images: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    pred: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CasePictures:
    """What there is to see of a run.

    Args:
        trial: Whose network it is.
        epoch: After which epoch.
        channel: What the images show.
        classes: Names of the classes.
        cases: Best first; none where something needed is gone.
        note: Why there are none.
    """

    trial: int
    epoch: int
    channel: str = ""
    classes: tuple[str, ...] = ()
    cases: tuple[CasePicture, ...] = ()
    note: str = ""


def pack_pictures(found: CasePictures, about: Mapping[str, Any]) -> bytes:
    """What is to be written to keep them.

    Args:
        found: The pictures.
        about: What they are of, plain data: whose network, which data.

    Returns:
        The content of a file.
    """
    listed: list[dict[str, Any]] = []
    words = {**about, "channel": found.channel, "classes": found.classes, "cases": listed}
    arrays: dict[str, Any] = {}
    for place, case in enumerate(found.cases):
        listed.append(
            {name: value for name, value in asdict(case).items() if not hasattr(value, "shape")}
        )
        arrays[f"images{place}"] = case.images
        arrays[f"truth{place}"] = np.packbits(case.truth, axis=-1)
        arrays[f"pred{place}"] = np.packbits(case.pred, axis=-1)
    content = io.BytesIO()
    text = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
    np.savez_compressed(content, about=text, **arrays)
    return content.getvalue()


def load_pictures(path: Path, about: Mapping[str, Any]) -> CasePictures | None:
    """What was kept, if it is of the same network on the same data.

    Args:
        path: The file.
        about: What the pictures shall be of; without its ``checkpoint``, when that is gone,
            those of the same trial and epoch are taken.

    Returns:
        The pictures; None where there are none, or they are of something else, or damaged.
    """
    try:
        content = io.BytesIO(read_bounded(path, _MOST_BYTES))
        with zipfile.ZipFile(content) as parts:
            if sum(part.file_size for part in parts.infolist()) > _MOST_BYTES:
                return None
        with np.load(content, allow_pickle=False) as arrays:
            words = json.loads(arrays["about"].tobytes())
            gone = {"checkpoint"} if about["checkpoint"] is None else set()
            if any(words.get(name) != about[name] for name in about.keys() - gone):
                return None
            cases = tuple(_unpack(arrays, at, one) for at, one in enumerate(words["cases"]))
            trial, epoch, channel = words["trial"], words["epoch"], words["channel"]
            return CasePictures(trial, epoch, channel, tuple(words["classes"]), cases)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _unpack(arrays: Mapping[str, Any], place: int, words: Mapping[str, Any]) -> CasePicture:
    images = arrays[f"images{place}"]
    width = images.shape[2]
    truth, pred = (
        np.unpackbits(arrays[f"{name}{place}"], axis=-1, count=width).astype(np.bool_)
        for name in ("truth", "pred")
    )
    if len(images) != len(words["slices"]) or truth.shape != pred.shape:
        raise ValueError("parts that do not belong together")
    return CasePicture(**{**words, "slices": tuple(words["slices"])},
                       images=images, truth=truth, pred=pred)  # fmt: skip
