"""`segtune predict`: every image of a folder segmented, its mask written beside a record."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from seglib.data.dicom_header import is_dicom, read_header
from seglib.data.faults import gathered
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES
from seglib.data.source import Loaded, name_of, read_item
from seglib.data.unlabelled import Unlabelled, Wish, find_unlabelled
from seglib.data.volume_values import normalise_of
from seglib.data.writers import write_mask
from seglib.errors import DataError, Problem
from seglib.files import checksum, require_place, writing
from seglib.model import Model
from seglib.postprocess import find_labels, is_flat, restore_greys
from seglib.predict import Predictor
from seglib.target import Target
from tune.prediction_record import Line, PredictionRecord, state_of
from tune.progress import progress_on

__all__ = ["predict_files"]

_LARGEST_IN_PNG = 2**16 - 1
_MM3_PER_ML = 1000.0
_UNFINISHED = re.compile(r"(?P<mask>.+)\.(?P<process>\d+)-[0-9a-f]{8}\.tmp")


def predict_files(model: Model, source: Path, out: Path, *, flips: bool, console: Console) -> None:
    """Write a mask for every image.

    Masks that are there, of the same images and by the same model, are not made again. An
    image that cannot be read costs its own mask only; all such faults are told at the end.

    Args:
        model: The model.
        source: An image, or a folder of images.
        out: Folder for the masks; made if needed.
        flips: Average over mirror images, too.
        console: Where to say what is done.

    Raises:
        DataError: There is no image, or images do not fit the model, or files are in the way
            of masks, or some images could not be read; all faults are listed.
        RunError: The folder for the masks can be none.
        UnwritableError: The folder takes no more files.
    """
    source, out = source.resolve(), out.resolve()
    _check_places(source, out)
    record, predictor = PredictionRecord(out), Predictor(model, flips=flips)
    notes: list[str] = []
    found = find_unlabelled(source, _wish(predictor, out, record), notes)
    notes += _doubts(model, found)
    job = _Job(predictor, predictor.key, source if source.is_dir() else source.parent, out, record)
    waiting = job.waiting(found)
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    _clear_unfinished(out, {one.mask for one in found})
    began, problems = time.monotonic(), list[Problem]()
    with progress_on(console) as progress:
        marked: list[bool] = []
        for number, one in enumerate(waiting, 1):
            shown = job.predict(one, problems)
            marked += [shown] if shown is not None else []
            progress(number, len(waiting), "masks")
    console.print(
        _summary(marked, len(found) - len(waiting), out, time.monotonic() - began),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if problems:
        raise DataError(str(source), gathered(problems))


@dataclass(frozen=True)
class _Job:
    """What all images have in common."""

    predictor: Predictor
    key: str
    root: Path
    out: Path
    record: PredictionRecord

    def waiting(self, found: tuple[Unlabelled, ...]) -> list[Unlabelled]:
        """Images whose masks are not there yet; what is in the way of any is refused."""
        waiting: list[Unlabelled] = []
        problems: list[Problem] = []
        for one in found:
            done = self.record.is_done(one.mask, one.item.image_files, self.key)
            if isinstance(done, Problem):
                problems.append(done)
            elif not done:
                waiting.append(one)
        if problems:
            raise DataError(str(self.out), gathered(problems))
        return waiting

    def predict(self, one: Unlabelled, problems: list[Problem]) -> bool | None:
        """Read, segment and write: was anything found? None for a fault, added to the others."""
        state = state_of(one.item.image_files)
        loaded = read_item(one.item, self.predictor.plan(self.root, one.channels), problems)
        if loaded is None:
            return None
        first = one.item.image_files[0]
        try:
            planes = self.predictor.segment(loaded, one.channels)
        except ValueError as error:
            problems.append(Problem(name_of(first, self.root), str(error), "8-bit images"))
            return None
        target = self.predictor.model.inputs.target
        labels = find_labels(planes, target)
        volumes, unit = _volumes(labels, loaded, target)
        grey = restore_greys(labels, target, picture=not loaded.volume)
        line = Line(
            mask=one.mask,
            images=tuple(map(str, one.item.image_files)),
            state=state,
            model=self.key,
            sha256="",
            volumes=volumes,
            unit=unit,
        )
        write_mask(
            self.out / one.mask,
            grey,
            first,
            spacing_mm=loaded.spacing_mm if loaded.located else None,
            affine=loaded.affine,
            written=partial(self._note, line),
        )
        return bool(labels.any())

    def _note(self, line: Line, temporary: Path) -> None:
        self.record.add(replace(line, sha256=checksum(temporary)))


def _check_places(source: Path, out: Path) -> None:
    """The folder for masks must not be that of the images, nor a file."""
    if source == out:
        found = "the folder of the images itself"
        raise DataError(str(out), [Problem("OUT", found, "a folder for the masks alone")])
    require_place(out, "OUT", folder=True)


def _wish(predictor: Predictor, out: Path, record: PredictionRecord) -> Wish:
    """What the model can be given; masks of an earlier call are no images, wherever they lie."""
    inputs, greys = predictor.model.inputs, predictor.model.inputs.target.values
    written, looked = set(record.masks), {out}

    def left_out(path: Path) -> bool:
        if path.parent not in looked:  # folders come before what lies in them
            looked.add(path.parent)
            written.update(PredictionRecord(path.parent).masks)
        return path == out or path in written

    return Wish(
        channels=inputs.channels,
        seen=predictor.channels,
        flat=is_flat(inputs.layout),
        numbered=inputs.layout == "nnunet",
        wide=min(greys) < 0 or max(greys) > _LARGEST_IN_PNG,
        left_out=left_out,
    )


def _doubts(model: Model, found: tuple[Unlabelled, ...]) -> list[str]:
    """Where the images are of another kind than those that the model was trained on."""
    inputs = model.inputs
    if inputs.normalise in ("window", "none"):
        return []
    kinds = ("single pictures", "volumes")
    flat = is_flat(inputs.layout)
    trained, given = kinds if flat else kinds[::-1]
    other = [one for one in found if (one.item.slice is not None) != flat]
    scans = [one for one in found if flat and _in_hounsfield(one.item.image_files[0])]
    lines = []
    if other:
        lines.append(
            f"the model was trained on {trained}, each scaled by its own greys, and "
            f"{_which(other, found)} {given}: they look different to it, so look at the masks"
        )
    if scans:
        lines.append(
            f"{_which(scans, found)} CT in Hounsfield units, and the pictures that the model was "
            "trained on were scaled by their own greys, not by a window"
        )
    return lines


def _which(some: Sequence[Unlabelled], found: Sequence[Unlabelled]) -> str:
    return "these are" if len(some) == len(found) else f"{len(some)} of {len(found)} images are"


def _in_hounsfield(path: Path) -> bool:
    if path.name.lower().endswith((*FLAT_SUFFIXES, *NIFTI_SUFFIXES)) or not is_dicom(path):
        return False
    with suppress(DataError):  # told when it is read
        return normalise_of(read_header(path)) == "window"
    return False


def _volumes(
    labels: NDArray[np.uint8], loaded: Loaded, target: Target
) -> tuple[dict[str, float], str]:
    """How large each class is, and in which unit."""
    counts = np.bincount(labels.ravel(), minlength=target.num_labels)
    pixels = [int(counts[list(members)].sum()) for members in target.members]
    if not loaded.located:
        return dict(zip(target.classes, pixels, strict=True)), "px"
    z, y, x = loaded.spacing_mm
    unit, size = ("ml", z * y * x / _MM3_PER_ML) if loaded.volume else ("mm2", y * x)
    sizes = [round(count * size, 4) for count in pixels]
    return dict(zip(target.classes, sizes, strict=True)), unit


def _clear_unfinished(out: Path, masks: set[str]) -> None:
    """Remove what a process left that died while it wrote one of these masks."""
    with writing(out):
        for folder in {(out / mask).parent for mask in masks}:
            for path in folder.glob("*.tmp") if folder.is_dir() else ():
                match = _UNFINISHED.fullmatch(path.name)
                if match is None or _is_alive(int(match["process"])):
                    continue
                if str((folder / match["mask"]).relative_to(out)) in masks:
                    path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether such a process is at work on this machine: perhaps the same command, beside us."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _summary(marked: list[bool], there: int, out: Path, seconds: float) -> str:
    written, empty = len(marked), marked.count(False)
    each = f", {seconds / written:.2g} s each" if written else ""
    before = f" ({there} were there already)" if there else ""
    none = ""
    if empty:
        verb = "is" if empty == 1 else "are"
        none = f"; {empty} of {written} masks {verb} empty" if written > 1 else "; it is empty"
    return f"{written} mask{'s' * (written != 1)} written to {out}{each}{before}{none}"
