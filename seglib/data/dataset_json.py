"""``dataset.json``: how the Medical Decathlon and nnU-Net describe a data set.

=============  ==========================================  ===========================
field          Decathlon, nnU-Net 1                        nnU-Net 2
=============  ==========================================  ===========================
channels       ``"modality": {"0": "CT"}``                 ``"channel_names": {...}``
labels         ``"labels": {"1": "liver"}``                ``"labels": {"liver": 1}``
regions        --                                          ``"whole": [1, 2, 3]``
suffix         ``.nii.gz``                                 ``"file_ending": ".png"``
=============  ==========================================  ===========================

Names of channels and classes are written in small letters, words joined by ``_``:
``Left Lung`` is the class ``left_lung``, which trades places with ``right_lung``
when an image is mirrored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglib.data.dataset import target_from_classes
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.foreign import read_bounded
from seglib.target import Target

__all__ = ["DATASET_JSON", "Description", "channel_names", "read_description", "read_json"]

DATASET_JSON = "dataset.json"

_MOST_BYTES = 2**26
_LARGEST_LABEL = 2**31 - 1

_SUFFIXES = FLAT_SUFFIXES + NIFTI_SUFFIXES
# Parts of a brain tumour, by what their names hold; the first that fits counts.
_TUMOUR_PARTS = (
    ("ED", re.compile("edema")),
    ("NCR", re.compile("non_?enh|necro|ncr|core")),
    ("ET", re.compile("enh")),
)
_TUMOUR_REGIONS = {"WT": ("ED", "NCR", "ET"), "TC": ("NCR", "ET"), "ET": ("ET",)}

Classes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Description:
    """What a ``dataset.json`` says.

    Args:
        channels: Names of the image channels, in order.
        labels: Class -> its grey values; background is not among them.
        ending: Suffix of the files.
        content: The whole file.
    """

    channels: tuple[str, ...]
    labels: Classes
    ending: str
    content: Mapping[str, Any]

    def target(self, spec: DataSpec, problems: list[Problem]) -> Target | None:
        """The target that is asked for, made of the labels.

        Args:
            spec: Kind of target, background, and classes where they are given. Labels
                that are background for it are no class.
            problems: Faults are added here.

        Returns:
            The target, or None after a fault.
        """
        if spec.classes is not None:
            return target_from_classes(spec, spec.classes, problems)
        labels = {
            name: kept
            for name, values in self.labels.items()
            if (kept := tuple(value for value in values if value not in spec.background))
        }
        if "ignore" in labels:
            found = "a label ignore, whose pixels nothing here can leave out"
            hint = f"data.background: [0, {labels['ignore'][0]}] takes them for background"
            problems.append(Problem(f"{DATASET_JSON}: labels", found, "classes only", hint))
            return None
        return target_from_classes(spec, _classes(spec, labels), problems)

    def normalise(self, spec: DataSpec) -> str:
        """How to normalise: by window if all is CT, else z-score; pictures by percentiles.

        Args:
            spec: May say how.

        Returns:
            One of the ways of ``data.normalise``.
        """
        if spec.normalise != "auto":
            return spec.normalise
        if self.ending in FLAT_SUFFIXES:
            return "percentile"
        return "window" if set(self.channels) == {"ct"} else "zscore"


def read_description(home: Path, problems: list[Problem]) -> Description | None:
    """Reads ``dataset.json``.

    Args:
        home: The folder in which it lies.
        problems: All its faults are added here.

    Returns:
        What it says, or None after a fault.
    """
    known = len(problems)
    content = read_json(home / DATASET_JSON, problems)
    if content is None:
        return None
    if not isinstance(content, dict):
        problems.append(Problem(DATASET_JSON, "no object", "fields in curly brackets"))
        return None
    channels = _channels(content, problems)
    labels = _labels(content, problems)
    ending = content.get("file_ending", ".nii.gz")
    if ending not in _SUFFIXES:
        wanted = f"one of {', '.join(_SUFFIXES)}"
        problems.append(Problem(f"{DATASET_JSON}: file_ending", f"{ending}", wanted))
    return Description(channels, labels, ending, content) if len(problems) == known else None


def channel_names(content: object) -> tuple[str, ...]:
    """The channels that a ``dataset.json`` names, in order.

    Args:
        content: Of the file; it need not say anything else.

    Returns:
        Their names; none where it does not say.
    """
    return _channels(content, []) if isinstance(content, dict) else ()


def read_json(path: Path, problems: list[Problem]) -> object | None:
    """Reads a JSON file.

    Args:
        path: The file.
        problems: A missing or unreadable file is added here.

    Returns:
        What it holds, or None after a fault.
    """
    try:
        content: object = json.loads(read_bounded(path, _MOST_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        problems.append(Problem(path.name, "no such file", "names of channels and labels"))
    except RecursionError:
        problems.append(Problem(path.name, "brackets in brackets without end", "a few levels"))
    except (OSError, ValueError) as error:
        problems.append(Problem(path.name, f"an unreadable file ({error})", "JSON in UTF-8"))
    else:
        if content is not None:
            return content
        problems.append(Problem(path.name, "nothing in it", "JSON"))
    return None


def _word(name: object) -> str:
    return re.sub(r"\W+|_+", "_", str(name).strip().lower()).strip("_")


def _channels(content: Mapping[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    key = "channel_names" if "channel_names" in content else "modality"
    named = content.get(key)
    wanted = f'"{key}": {{"0": "CT"}}, a name for each channel, counted from 0'
    if not isinstance(named, dict) or not named:
        found = "no channel_names and no modality" if named is None else json.dumps(named)
        problems.append(Problem(f"{DATASET_JSON}: {key}", found, wanted))
        return ()
    if set(named) != {str(number) for number in range(len(named))}:
        problems.append(Problem(f"{DATASET_JSON}: {key}", f"numbers {', '.join(named)}", wanted))
        return ()
    names = tuple(_word(named[str(number)]) for number in range(len(named)))
    if len(set(names)) < len(names):
        # Two echoes of one sequence may share a name; a number tells them apart.
        names = tuple(f"{name}_{number}" for number, name in enumerate(names))
    return names


def _labels(content: Mapping[str, Any], problems: list[Problem]) -> Classes:
    place = f"{DATASET_JSON}: labels"
    named = content.get("labels")
    wanted = '{"0": "background", "1": "liver"} or {"background": 0, "liver": 1}'
    if not isinstance(named, dict) or not named:
        found = "none" if named is None else json.dumps(named)
        problems.append(Problem(place, found, wanted))
        return {}
    by_number = all(isinstance(value, str) for value in named.values())
    pairs = [(v, k) if by_number else (k, v) for k, v in named.items()]
    labels: dict[str, tuple[int, ...]] = {}
    for name, value in pairs:
        values = _values(value)
        if values is None:
            problems.append(Problem(place, f"{name}: {json.dumps(value)}", wanted))
        elif _word(name) in labels:
            problems.append(Problem(place, f"two labels named {_word(name)}", "each once"))
        elif set(values) != {0}:
            labels[_word(name)] = values
    if not labels and not any(problem.place == place for problem in problems):
        problems.append(Problem(place, "background only", wanted))
    return labels


def _values(value: object) -> tuple[int, ...] | None:
    """A number, or a list of numbers, or a number as text; None if it is none of these."""
    if isinstance(value, str):
        short = value.isdecimal() and len(value) <= len(str(_LARGEST_LABEL))
        value = int(value) if short else None
    values = value if isinstance(value, list) else [value]
    numbers = tuple(
        one
        for one in values
        if isinstance(one, int) and not isinstance(one, bool) and abs(one) <= _LARGEST_LABEL
    )
    return numbers if numbers and len(numbers) == len(values) else None


def _classes(spec: DataSpec, labels: Classes) -> Classes:
    """Classes of the kind that is asked for."""
    tumour = _tumour_regions(labels)
    if spec.target == "regions" and tumour:
        return tumour
    if spec.target != "binary":
        return labels
    if len(labels) == 1:
        return labels
    name = "WT" if tumour else "foreground"
    return {name: tuple(sorted({value for values in labels.values() for value in values}))}


def _tumour_regions(labels: Classes) -> Classes:
    """WT, TC and ET, if the labels are the three parts of a brain tumour."""
    parts: dict[str, tuple[int, ...]] = {}
    for name, values in labels.items():
        part = next((part for part, words in _TUMOUR_PARTS if words.search(name)), None)
        if part is None or part in parts or len(values) > 1:
            return {}
        parts[part] = values
    if len(parts) < len(_TUMOUR_PARTS):
        return {}
    return {
        region: tuple(value for name in names for value in parts[name])
        for region, names in _TUMOUR_REGIONS.items()
    }
