"""nnU-Net's raw folders, versions 1 and 2.

::

    dataset.json                   channels, labels, suffix
    imagesTr/<case>_0000.nii.gz    a file for each channel
    labelsTr/<case>.nii.gz
    splits_final.json              folds, here or in nnUNet_preprocessed/<dataset>

Pictures are read as well; there one file ``_0000`` may hold all colours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from seglib.data.challenge import (
    CHANNEL_FILE,
    challenge_notes,
    challenge_patients,
    training_places,
)
from seglib.data.dataset import Dataset, Division, Item
from seglib.data.dataset_json import DATASET_JSON, Description, read_description, read_json
from seglib.data.pair_names import natural
from seglib.data.patients import SLICES_OF_A_PATIENT, look_like_slices
from seglib.data.place import Place, visible_files
from seglib.data.readers import FLAT_SUFFIXES, file_stem
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.foreign import is_file

__all__ = ["find_nnunet", "read_nnunet"]

_SPLITS = "splits_final.json"
_RAW, _PREPROCESSED = "nnUNet_raw", "nnUNet_preprocessed"

_Files = dict[int, Path]  # number of the channel -> its file


def find_nnunet(root: Path) -> list[Place]:
    """Raw folders of nnU-Net, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each. What nnU-Net made of it belongs to it too.
    """
    return [
        Place(place.root, place.home, (*place.folders, made, made / "gt_segmentations"))
        for place in training_places(root, numbered=True)
        for made in [_preprocessed(place.home)]
    ]


def read_nnunet(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the cases of a raw folder.

    Args:
        spec: Channels, target and the like.
        place: Where they lie.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    description = read_description(place.home, problems)
    if description is None:
        return None
    target = description.target(spec, problems)
    images = _images(place, description, problems)
    labels = {
        file_stem(path): path for path in visible_files(place.folders[1], [description.ending])
    }
    _tell_alone(images, labels, problems)
    channels = _chosen(spec, description, images, problems)
    cases = sorted(images.keys() & labels.keys(), key=natural)
    groups = challenge_patients(spec, cases, problems)
    divisions = _divisions(place.home, problems)
    if problems or target is None:
        return None
    items = [
        Item(case, group, tuple(images[case][number] for number in channels), (labels[case],))
        for case, group in zip(cases, groups, strict=True)
    ]
    return Dataset(
        root=place.home,
        layout="nnunet",
        channels=spec.channels or description.channels,
        target=target,
        items=tuple(items),
        normalise=description.normalise(spec),
        notes=(
            *_doubts(spec, cases, description),
            *challenge_notes(place, description, len(items)),
        ),
        divisions=divisions,
    )


def _preprocessed(home: Path) -> Path:
    return home.parent.parent / _PREPROCESSED / home.name


def _images(place: Place, description: Description, problems: list[Problem]) -> dict[str, _Files]:
    """The files of each case by channel."""
    images: dict[str, _Files] = defaultdict(dict)
    files = visible_files(place.folders[0], [description.ending])
    if not files:
        wanted = f"files {description.ending}, as {DATASET_JSON} says"
        problems.append(Problem(place.folders[0].name, "no image", wanted))
    for path in files:
        match = CHANNEL_FILE.fullmatch(file_stem(path))
        shown = f"{path.parent.name}/{path.name}"
        if match is None:
            wanted = f"{file_stem(path)}_0000{description.ending}"
            problems.append(Problem(shown, "a name without the number of its channel", wanted))
        elif int(match["channel"]) >= len(description.channels):
            wanted = f"0 to {len(description.channels) - 1}, as {DATASET_JSON} names channels"
            problems.append(Problem(shown, f"channel {int(match['channel'])}", wanted))
        else:
            images[match["case"]][int(match["channel"])] = path
    return dict(images)


def _tell_alone(
    images: Mapping[str, _Files], labels: Mapping[str, Path], problems: list[Problem]
) -> None:
    problems += [
        Problem(case, "images without a label", f"{case} in labelsTr")
        for case in sorted(images.keys() - labels.keys())
    ]
    problems += [
        Problem(
            f"labelsTr/{labels[case].name}", "a label without images", f"{case}_0000 in imagesTr"
        )
        for case in sorted(labels.keys() - images.keys())
    ]


def _chosen(
    spec: DataSpec,
    description: Description,
    images: Mapping[str, _Files],
    problems: list[Problem],
) -> tuple[int, ...]:
    """Numbers of the channels that are asked for; each case must have their files."""
    known = description.channels
    one_file = description.ending in FLAT_SUFFIXES and all(set(of) == {0} for of in images.values())
    wanted = spec.channels or known
    if one_file and len(known) > 1:
        # Colours in one file can be named, not chosen from.
        if wanted != known:
            text = f"{', '.join(known)}, as they lie in each file"
            problems.append(Problem("data.channels", ", ".join(wanted), text))
        return (0,)
    problems += [
        Problem("data.channels", f"'{name}'", f"one of {', '.join(known)}")
        for name in wanted
        if name not in known
    ]
    if len(set(wanted)) < len(wanted):
        problems.append(Problem("data.channels", "a channel named twice", "each once"))
    numbers = tuple(known.index(name) for name in wanted if name in known)
    for case, files in sorted(images.items()):
        lacking = [f"{known[n]} (_{n:04d})" for n in numbers if n not in files]
        if lacking:
            text = f"no file for {', '.join(lacking)}"
            problems.append(Problem(case, text, "a file for each channel"))
    return numbers


def _doubts(spec: DataSpec, cases: list[str], description: Description) -> list[str]:
    """Pictures may be slices of patients; volumes are taken for one patient each."""
    flat = description.ending in FLAT_SUFFIXES
    like = look_like_slices(cases) if flat and spec.patient is None else ""
    if not like:
        return []
    return [
        f"each case counts as its own patient, but {like}; "
        f"if those are patients: data.patient: '{SLICES_OF_A_PATIENT}'"
    ]


def _divisions(home: Path, problems: list[Problem]) -> tuple[Division, ...]:
    """The folds that lie in the folder, or where nnU-Net keeps them."""
    places = [home / _SPLITS]
    if home.parent.name == _RAW:
        places.append(_preprocessed(home) / _SPLITS)
    path = next((place for place in places if is_file(place)), None)
    content = read_json(path, problems) if path is not None else None
    if content is None:
        return ()
    try:
        return TypeAdapter(tuple[Division, ...]).validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        wanted = 'a list of {"train": [cases], "val": [cases]}'
        problems.append(Problem(_SPLITS, f"{where or 'the file'}: {fault['msg']}", wanted))
        return ()
