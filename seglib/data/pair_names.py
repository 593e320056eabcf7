"""Which mask belongs to which image: by name, never by the order of a listing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from seglib.data.manifest import Row
from seglib.errors import Problem

__all__ = ["MASK_SUFFIXES", "check_pairs", "natural", "pair_by_name"]

_MOST_DIGITS = 1000  # Python refuses to make numbers of more than a few thousand

MASK_SUFFIXES = ("_mask", "_Mask", "_Tumor", "_tumor", "_seg", "_label")


def pair_by_name(
    images: Iterable[Path],
    masks: Iterable[Path],
    *,
    folders: Sequence[Path],
    problems: list[Problem],
) -> list[Row]:
    """Pairs files of the same name, or with one of ``MASK_SUFFIXES`` after it.

    The order of the files is without effect.

    Args:
        images: Files of the image folder.
        masks: Files of the mask folder.
        folders: The two folders, as faults name them.
        problems: Images and masks that are alone, or more than one, are added here.

    Returns:
        A row for each image that has a mask, x2 before x10.
    """
    of_image, of_mask = defaultdict[str, list[Path]](list), defaultdict[str, list[Path]](list)
    for path in sorted(images):
        of_image[path.stem].append(path)
    for path in sorted(masks):
        of_mask[_image_stem(path.stem, of_image)].append(path)
    for kind, groups in (("image", of_image), ("mask", of_mask)):
        for stem, paths in groups.items():
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                problems.append(Problem(stem, f"{len(paths)} {kind}s ({names})", "one"))
    _tell_alone(of_image, of_mask, folders, problems)
    both = sorted(of_image.keys() & of_mask.keys(), key=natural)
    return [Row(of_image[stem][0], of_mask[stem][0]) for stem in both]


def check_pairs(rows: Sequence[Row], images: Iterable[Path], place: str) -> list[Problem]:
    """No image may have the mask that by its name belongs to another image.

    Args:
        rows: Images with their masks, as a manifest pairs them.
        images: Files of the image folder.
        place: Name of the manifest.

    Returns:
        One fault with the first such pair and their number, or none.
    """
    stems = {path.stem for path in images} | {row.image.stem for row in rows}
    wrong = [row for row in rows if _image_stem(row.mask.stem, stems) in stems - {row.image.stem}]
    if not wrong:
        return []
    image, mask = wrong[0].image, wrong[0].mask
    owner = _image_stem(mask.stem, stems)
    found = f"{len(wrong)} images with the mask of another, such as {image.name} with {mask.name}"
    hint = "if the manifest is right, give the masks other names"
    return [Problem(place, found, f"{mask.name} beside the image {owner}", hint)]


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts x2 before x10."""
    parts = re.split(r"(\d+)", text)
    return [(int(p[:_MOST_DIGITS]), "") if p.isdecimal() else (-1, p) for p in parts]


def _image_stem(mask_stem: str, images: Collection[str]) -> str:
    """The image that a mask belongs to; the bare name, if there is no such image."""
    short = [mask_stem.removesuffix(s) for s in MASK_SUFFIXES if mask_stem.endswith(s)]
    for stem in (mask_stem, *short):
        if stem in images:
            return stem
    return short[0] if short else mask_stem


def _tell_alone(
    images: Mapping[str, list[Path]],
    masks: Mapping[str, list[Path]],
    folders: Sequence[Path],
    problems: list[Problem],
) -> None:
    of_images, of_masks = (folder.name for folder in folders)
    suffixes = ", ".join(dict.fromkeys(suffix.lower() for suffix in MASK_SUFFIXES))
    for stem in sorted(images.keys() - masks.keys()):
        place = f"{of_images}/{images[stem][0].name}"
        wanted = f"{stem} in {of_masks}, or that with one of {suffixes}"
        problems.append(Problem(place, "an image without a mask", wanted))
    for stem in sorted(masks.keys() - images.keys()):
        place = f"{of_masks}/{masks[stem][0].name}"
        problems.append(Problem(place, "a mask without an image", f"{stem} in {of_images}"))
