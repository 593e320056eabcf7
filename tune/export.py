"""`segtune export`: a model's networks as a file for other programs, held against the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy.typing as npt
from rich.console import Console

from seglib.errors import DataError, Problem, RunError
from seglib.files import require_place, write_whole, writing

if TYPE_CHECKING:
    import numpy as np

    from seglib.model import Model

__all__ = ["export_model"]

ONNX = "model.onnx"
TORCH = "model.pt2"
CARD = "MODEL_CARD.md"

NUM_REAL = 8
"""Images of a folder that are compared."""


def export_model(
    model: Model,
    out: Path,
    *,
    format_: Literal["onnx", "torch", "both"],
    console: Console,
    images: Path | None = None,
) -> None:
    """Write a model for other programs, with its card; nothing is written that differs.

    Args:
        model: The model.
        out: The folder to write to; made if needed.
        format_: What others read.
        console: Where to say what was written.
        images: A folder of images to compare on; drawn ones if not given.

    Raises:
        RunError: A library is missing, the folder can be none, files of somebody else are in
            the way, or what was exported says something else.
        DataError: The images cannot be read.
        UnwritableError: The place takes no more files.
    """
    from seglib.averaged import describe_interface
    from seglib.export import require_onnx
    from tune.card_text import card_as_text

    require_place(out, "OUT", folder=True)
    before = _earlier(out)
    wanted = {"onnx": [ONNX], "torch": [TORCH], "both": [ONNX, TORCH]}[format_]
    if ONNX in wanted:
        require_onnx()
    samples, of = _samples(model, images)
    notes = {"card": json.dumps(dict(model.card)), "model_card": card_as_text(model)}
    contents, measured = {}, []
    for name in wanted:
        content, difference = _exported(model, name, notes, samples)
        contents[name] = content
        apart = f"by {difference:.0e} at most" if difference else "in no bit"
        measured.append(
            f"`{name}`: {len(content) / 1e6:,.1f} MB; on {of} its probabilities differ from those "
            f"of the networks in float32 {apart}"
        )
    contents[CARD] = card_as_text(model, measured).encode()
    for name, content in contents.items():
        write_whole(out / name, content)
    stale = [name for name in before if name not in contents]  # the new card says nothing of it
    with writing(out):
        for name in stale:
            (out / name).unlink(missing_ok=True)
    for line in measured:
        _say(console, line.replace("`", ""))
    shape = describe_interface(model)
    _say(
        console, f"in:  image, {', '.join(shape['input']['channels'])}; made ready as the card says"
    )
    _say(console, f"out: probabilities of {', '.join(shape['output']['channels'])}")
    _say(console, f"written: {', '.join(str(out / name) for name in contents)}")
    if replaced := [name for name in before if name in contents]:
        _say(console, f"replaced what was exported there before: {', '.join(replaced)}")
    if stale:
        _say(console, f"removed what was exported there before: {', '.join(stale)}")


def _earlier(out: Path) -> list[str]:
    """What an earlier export left in a folder; files of somebody else are refused."""
    there = [name for name in (ONNX, TORCH, CARD) if (out / name).exists()]
    wanted = "a folder without such files, or with those of an earlier export"
    foreign = [name for name in there if not _is_ours(out / name)]
    if foreign:
        found = "a file that segtune did not export"
        raise RunError(str(out), [Problem(name, found, wanted) for name in foreign])
    return there


def _is_ours(path: Path) -> bool:
    """By what every export writes into its files."""
    try:
        content = path.read_bytes()
    except OSError:  # a folder, or one that may not be read
        return False
    if path.name == CARD:
        return content.startswith(b"# Model card: ") and b"segtune is Apache-2.0" in content
    return b"segtune" in content and b"model_card" in content


def _samples(model: Model, images: Path | None) -> tuple[npt.NDArray[np.uint8], str]:
    """What to compare on, and its name."""
    from seglib.averaged import draw_samples

    if images is None:
        drawn = draw_samples(model)
        return drawn, f"{len(drawn)} drawn images"
    real = _real_samples(model, images)
    return real, f"{len(real)} images of {images.resolve().name}"


def _real_samples(model: Model, images: Path) -> npt.NDArray[np.uint8]:
    """A slice from the middle of each of a few images, evenly over all of them."""
    import numpy as np

    from seglib.data.faults import gathered
    from seglib.data.source import read_item
    from seglib.data.unlabelled import Wish, find_unlabelled
    from seglib.postprocess import is_flat
    from seglib.predict import Predictor

    predictor, layout = Predictor(model), model.inputs.layout
    wish = Wish(
        channels=model.inputs.channels,
        seen=predictor.channels,
        flat=is_flat(layout),
        numbered=layout == "nnunet",
    )
    found = find_unlabelled(images.resolve(), wish)
    places = np.linspace(0, len(found) - 1, min(len(found), NUM_REAL)).round().astype(int)
    kept, problems = [], list[Problem]()
    for one in (found[place] for place in places):
        loaded = read_item(one.item, predictor.plan(images.resolve(), one.channels), problems)
        if loaded is not None:
            batches = [batch for _, batch in predictor.network_images(loaded, one.channels)]
            kept += [batches[len(batches) // 2][0]] if batches else []
    if problems or not kept:
        empty = Problem("--images", "nothing but blank images", "images that show something")
        raise DataError(str(images), gathered(problems) or [empty])
    return np.stack(kept)


def _exported(
    model: Model, name: str, notes: dict[str, str], samples: npt.NDArray[np.uint8]
) -> tuple[bytes, float]:
    """A file's content, and how far it is from the model."""
    from seglib import export

    write, run = {
        ONNX: (export.write_onnx, export.run_onnx),
        TORCH: (export.write_torch, export.run_torch),
    }[name]
    content = write(model, notes)
    difference = export.largest_difference(run(content), model, samples)
    export.require_parity(name, difference)
    return content, difference


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
