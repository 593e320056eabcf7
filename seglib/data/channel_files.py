"""Images whose channels lie in files of their own: the cases of BraTS and of nnU-Net."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglib.data.challenge import CHANNEL_FILE
from seglib.data.dataset import Item, plain_name
from seglib.data.dataset_json import DATASET_JSON, channel_names, read_json
from seglib.data.layout_brats import brats_name
from seglib.data.mask_names import CHALLENGE_FOLDERS, Named, home_of_mask
from seglib.data.readers import file_stem
from seglib.data.writers import mask_suffix
from seglib.errors import Problem
from seglib.foreign import is_file

__all__ = ["Wish", "brats_cases", "numbered_cases"]


@dataclass(frozen=True)
class Wish:
    """What a model can be given.

    Args:
        channels: Names of all its channels, in order.
        seen: Those that it does look at.
        flat: It was trained on pictures: a DICOM file is one, too, if it is no slice of a stack.
        numbered: It was trained on nnU-Net's files.
        wide: Its grey values do not fit into a PNG.
        left_out: Files and folders that are not looked at: the masks of an earlier call.
    """

    channels: tuple[str, ...]
    seen: tuple[str, ...]
    flat: bool = False
    numbered: bool = False
    wide: bool = False
    left_out: Callable[[Path], bool] = field(default=lambda path: False, repr=False)


def brats_cases(paths: Iterable[Path], wish: Wish, problems: list[Problem]) -> list[Named]:
    """The cases of BraTS files, as far as their channels are looked at.

    Args:
        paths: NIfTI files.
        wish: What the model can be given.
        problems: Cases that lack a channel are added here.

    Returns:
        The cases.
    """
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    masks: dict[str, str] = {}
    for path in paths:
        name = brats_name(path)
        if name is None or name.part == "seg":
            continue
        if name.part in wish.seen and name.part in cases[name.case]:
            both = f"two files for {name.part}: {cases[name.case][name.part]} and {path}"
            problems.append(Problem(name.case, both, "one"))
        cases[name.case][name.part] = path
        masks[name.case] = name.mask
    channels = tuple(one for one in wish.channels if one in wish.seen)
    named = []
    for case, files in cases.items():
        lacking = [name for name in channels if name not in files]
        if lacking:
            problems.append(Problem(case, f"no file for {', '.join(lacking)}", ", ".join(channels)))
            continue
        images = tuple(files[name] for name in channels)
        suffix = mask_suffix(images[0], volume=True)
        item = Item(plain_name(case), plain_name(case), images)
        named.append(Named(item, (masks[case],), suffix, channels))
    return named


def numbered_cases(
    paths: Sequence[Path], root: Path, wish: Wish, problems: list[Problem]
) -> list[Named]:
    """nnU-Net's cases: a file for each channel, its number in its name.

    Args:
        paths: NIfTI files or pictures.
        root: Folder of all images.
        wish: What the model can be given.
        problems: Cases that lack a channel are added here.

    Returns:
        The cases; none where a name does not look like that.
    """
    cases: dict[tuple[Path, str], dict[int, Path]] = defaultdict(dict)
    for path in paths:
        match = CHANNEL_FILE.fullmatch(file_stem(path))
        if match is None:
            return []
        cases[path.parent, match["case"]][int(match["channel"])] = path
    whole = set(range(len(wish.channels)))
    known = wish.numbered or any(path.parent.name.lower() in CHALLENGE_FOLDERS for path in paths)
    if not known and (len(whole) == 1 or any(set(files) != whole for files in cases.values())):
        return []
    named = []
    for (folder, case), files in cases.items():
        numbers = _numbers(folder, files, wish)
        lacking = [f"{name} (_{n:04d})" for name, n in numbers.items() if n not in files]
        if lacking:
            found, wanted = f"no file for {', '.join(lacking)}", "a file for each channel"
            problems.append(Problem(case, found, wanted))
            continue
        images = tuple(files[number] for number in numbers.values())
        home = home_of_mask(folder, root)
        suffix = mask_suffix(images[0], volume=False, wide=wish.wide)
        names = (str(Path(home, case)), str(folder.relative_to(root) / case))
        item = Item(plain_name(names[0]), plain_name(case), images)
        named.append(Named(item, names, suffix, () if len(files) == 1 else tuple(numbers)))
    return named


def _numbers(folder: Path, files: Mapping[int, Path], wish: Wish) -> dict[str, int]:
    """The number of each channel that is looked at: by ``dataset.json``, else by its place."""
    if set(files) == {0}:  # a picture in colour, or one channel
        return {wish.channels[0]: 0}
    given: tuple[str, ...] = ()
    for place in (folder / DATASET_JSON, folder.parent / DATASET_JSON):
        if is_file(place):
            given = channel_names(read_json(place, []))
            break
    order = given if set(wish.seen) <= set(given) else wish.channels
    return {name: order.index(name) for name in wish.channels if name in wish.seen}
