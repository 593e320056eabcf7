"""What a layout gives: a Dataset of Items, and the Target that its masks are read with.

Names of patients and cases come from files, and files come from anywhere: see 021.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.spec import DataSpec
from seglib.errors import Problem, printable
from seglib.target import Target

__all__ = ["Dataset", "Division", "Item", "Source", "plain_name", "target_from_classes"]

_LONGEST_NAME = 200
_FORMULA = ("=", "+", "-", "@", "'")

Source = Path | tuple[Path, ...]
"""A file, or the files of a stack, one slice each, in their order along the stack."""


@dataclass(frozen=True)
class Item:
    """One image and its mask, not yet read.

    Args:
        case: What is scored as one: a patient's volume, or one X-ray.
        group: The patient; items of one group never straddle a split.
        images: One source per channel, or one file with all channels.
        masks: The file with the truth. Of several files, number ``i`` from 0 holds
            the pixels of grey value ``i + 1``, whatever is not background in it.
            None where there is no truth: such an image can be looked at, not trained on.
        slice: Place in the case's stack; None when the file is a volume or the
            case has no other image.
    """

    case: str
    group: str
    images: tuple[Source, ...]
    masks: tuple[Path, ...] = ()
    slice: int | None = None

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Every file of the images, stacks spread out."""
        stacks = [one if isinstance(one, tuple) else (one,) for one in self.images]
        return tuple(path for stack in stacks for path in stack)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the item, images first."""
        return (*self.image_files, *self.masks)


@dataclass(frozen=True)
class Division:
    """A division into training and validation that the data folder brings along.

    Args:
        train: Names of cases.
        val: Names of cases.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A folder understood: every item with its patient, and how to read the masks.

    Args:
        root: The folder.
        layout: Name of the row in ``LAYOUTS`` that understood it.
        channels: Names of the image channels, in the order of the network's input.
        target: Grey values of the masks, labels and classes.
        items: All items, sorted by case and slice.
        normalise: ``zscore``, ``percentile``, ``window`` or ``none``.
        notes: Sentences that the user should see; nothing here is a fault.
        divisions: One for each fold that the folder brings along; usually none.
    """

    root: Path
    layout: str
    channels: tuple[str, ...]
    target: Target
    items: tuple[Item, ...]
    normalise: str
    notes: tuple[str, ...] = ()
    divisions: tuple[Division, ...] = ()

    def with_plain_names(self) -> Dataset:
        """The same, its names such as may be printed, written to a table and shown on a page."""
        return replace(
            self,
            items=tuple(
                replace(item, case=plain_name(item.case), group=plain_name(item.group))
                for item in self.items
            ),
            notes=tuple(map(printable, self.notes)),
            divisions=tuple(
                Division(tuple(map(plain_name, one.train)), tuple(map(plain_name, one.val)))
                for one in self.divisions
            ),
        )


def plain_name(name: str) -> str:
    r"""A name without letters that cannot be printed; different names stay different.

    What cannot be printed becomes ``\x1b``, a backslash two; what a spreadsheet would take
    for a formula gets a ``'`` in front; what is very long is cut, a checksum behind it.

    Args:
        name: Of a patient or case, from a file's name or header.

    Returns:
        The name; nearly always as it was.
    """
    plain = "".join(
        letter
        if letter.isprintable() and letter != "\\"
        else letter.encode("unicode_escape").decode()
        for letter in name
    )
    plain = f"'{plain}" if plain.startswith(_FORMULA) else plain
    if len(plain) <= _LONGEST_NAME:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:16]
    return f"{plain[: _LONGEST_NAME - 17]}~{digest}"


def target_from_classes(
    spec: DataSpec, classes: Mapping[str, tuple[int, ...]], problems: list[Problem]
) -> Target | None:
    """The target of ``spec.target`` whose classes are made of these grey values.

    Grey values that belong to the same classes share a label, numbered in the
    order of the classes. ``spec.background`` becomes label 0.

    Args:
        spec: Gives the kind of target and the background values.
        classes: Class name -> its grey values.
        problems: Faults are added here.

    Returns:
        The target, or None when a fault was added.
    """
    known = len(problems)
    _check_classes(spec, classes, problems)
    if len(problems) > known:
        return None
    memberships: dict[int, tuple[str, ...]] = {}
    for values in classes.values():
        for value in values:
            memberships[value] = tuple(name for name in classes if value in classes[name])
    labels = {part: label for label, part in enumerate(dict.fromkeys(memberships.values()), 1)}
    return Target(
        kind=spec.target,
        classes=tuple(classes),
        values={
            **dict.fromkeys(spec.background, 0),
            **{value: labels[part] for value, part in memberships.items()},
        },
        members=tuple(
            tuple(label for part, label in labels.items() if name in part) for name in classes
        ),
    )


def _check_classes(
    spec: DataSpec, classes: Mapping[str, tuple[int, ...]], problems: list[Problem]
) -> None:
    if not classes:
        problems.append(Problem("data.classes", "no class", "a class name with its grey values"))
    if spec.target == "binary" and len(classes) > 1:
        problems.append(
            Problem(
                "data.classes",
                f"{len(classes)} classes ({', '.join(classes)})",
                "one class, as data.target is binary",
                "data.target: organs gives each class a channel of its own",
            )
        )
    for name, values in classes.items():
        place = f"data.classes.{name}"
        if not values:
            problems.append(Problem(place, "no grey value", "at least one"))
        problems.extend(
            Problem(place, f"{value}, which data.background has too", "one of the two")
            for value in sorted(set(values) & set(spec.background))
        )
        others = [other for other in classes if other != name and set(classes[other]) & set(values)]
        if spec.target == "organs" and others:
            problems.append(
                Problem(
                    place,
                    f"grey values shared with {', '.join(others)}",
                    "each value in one class, as organs exclude each other",
                    "data.target: regions lets classes overlap",
                )
            )
