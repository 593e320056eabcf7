"""What masks are called: after their images, and no two alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.data.dataset import Item, plain_name
from seglib.data.dicom_header import DICOM_SUFFIXES, is_dicom, read_header
from seglib.data.layout_brats import brats_name
from seglib.data.place import IMAGE_FOLDERS
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES, file_stem
from seglib.data.volume_names import split_name
from seglib.data.writers import mask_suffix
from seglib.errors import DataError, Problem

__all__ = [
    "CHALLENGE_FOLDERS",
    "Named",
    "distinct_names",
    "home_of_mask",
    "name_file",
    "short_name",
]

CHALLENGE_FOLDERS = ("imagestr", "imagests")
_HOLD_IMAGES = (*IMAGE_FOLDERS, *CHALLENGE_FOLDERS, "cxr_png")
_LONGEST_NAME = 200  # bytes; most file systems take 255


@dataclass(frozen=True)
class Named:
    """An image, and names for its mask.

    Args:
        item: The image.
        names: Without suffix; each is longer and clearer than the one before.
        suffix: Of the mask.
        channels: Names of the channels that its files hold; none: as the model has them.
    """

    item: Item
    names: tuple[str, ...]
    suffix: str
    channels: tuple[str, ...] = ()


def name_file(path: Path, root: Path, *, wide: bool) -> Named:
    """A file that is an image by itself.

    Args:
        path: The file.
        root: Folder of all images.
        wide: Grey values of masks do not fit into a PNG.

    Returns:
        The image and names for its mask.
    """
    # 1.2.840.113 is no file of kind .113
    known = path.name.lower().endswith((*FLAT_SUFFIXES, *NIFTI_SUFFIXES, *DICOM_SUFFIXES))
    stem = file_stem(path) if known else path.name
    suffix = mask_suffix(path, volume=False, wide=wide)
    names = [stem, path.name]
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        brats = brats_name(path)
        case = split_name(stem)[0]
        plain = f"{case}_mask" if case else "mask" if path.parent != root else f"{stem}_mask"
        if path.parent.name.lower() in _HOLD_IMAGES:
            plain = stem
        names = [brats.mask if brats is not None else plain, f"{stem}_mask"]
    elif is_dicom(path) and _num_frames(path) > 1:
        suffix = mask_suffix(path, volume=True)
    home = home_of_mask(path.parent, root)
    longest = str(path.parent.relative_to(root) / path.name)
    # a picture may be a slice, and the ends of a stack show nothing: none of its own is a fault
    place = None if suffix in NIFTI_SUFFIXES else 0
    return Named(
        Item(plain_name(str(Path(home, stem))), plain_name(stem), (path,), slice=place),
        (*(str(Path(home, name)) for name in names), longest),
        suffix,
    )


def _num_frames(path: Path) -> int:
    try:
        return read_header(path).num_frames
    except DataError:  # told when it is read
        return 1


def home_of_mask(folder: Path, root: Path) -> str:
    """The folder of a mask: that of its image, without a last one that only says: images.

    Args:
        folder: Of the image.
        root: Folder of all images.

    Returns:
        The folder as seen from the root.
    """
    parts = folder.relative_to(root).parts
    return str(Path(*(parts[:-1] if parts and parts[-1].lower() in _HOLD_IMAGES else parts)))


def short_name(name: str) -> str:
    """A name that a file system takes.

    Args:
        name: From a header; it may be anything.

    Returns:
        One part of a path, not hidden and not too long.
    """
    name = name.replace("/", "-").lstrip(".") or "unnamed"
    while len(name.encode()) > _LONGEST_NAME:
        name = name[: len(name) * 3 // 4]
    return name


def distinct_names(named: Sequence[Named], problems: list[Problem]) -> list[str]:
    """A name for each mask; where two would be the same they get longer ones.

    Args:
        named: The images.
        problems: Images whose masks cannot be told apart are added here.

    Returns:
        Names with their suffix.
    """
    longest = max((len(one.names) for one in named), default=0)
    names = [one.names[0] + one.suffix for one in named]
    for length in range(1, longest):
        count = Counter(names)
        names = [
            one.names[min(length, len(one.names) - 1)] + one.suffix if count[name] > 1 else name
            for one, name in zip(named, names, strict=True)
        ]
    by_name: dict[str, list[Named]] = defaultdict(list)
    for one, name in zip(named, names, strict=True):
        by_name[name].append(one)
    for some in by_name.values():
        if len(some) > 1:
            files = " and ".join(str(one.item.image_files[0]) for one in some[:2])
            found = f"{len(some)} images with one name for their masks: {files}"
            problems.append(Problem(some[0].names[0] + some[0].suffix, found, "a folder for each"))
    return names
