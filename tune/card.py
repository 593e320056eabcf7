"""Card: what a reader must know of a model, as plain data that lies in the model's file."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seglib.data.splits import Split, Splits
from tune.study_file import StudyFile

__all__ = ["CardParts", "hash_group", "write_card"]

EMPTY_MASKS = (
    "A class that a case's truth lacks is not counted for that case where nothing is predicted, "
    "and counts 0 where something is. Background is no class."
)
_USE = (
    "Research: outlining {classes} in 2-D slices or pictures of the kind that it was trained on. "
    "No medical device; not for diagnosis, treatment or triage."
)
_LIMITS = (
    "It knows images made ready as its training data were; another scanner, protocol, age group "
    "or disease may break it, and it does not say so. Evaluate it on labelled cases of your own.",
    "It works slice by slice and sees nothing of the slices beside.",
)
_PHANTOM = "Trained on generated phantoms, not on patients: of no use for real images."
_CHOSEN = (
    "Recipe, trial and epoch were chosen by the score on the validation patients, so that this "
    "score is too good, the more so the fewer patients there are."
)
_SEEN = (
    "Trained on the validation patients, too: no score of this very model is known. The search's "
    "score is of a network that was trained on fewer patients."
)
_CROSSED = (
    "The recipe was chosen by a search on some of these patients; each network was scored on "
    "patients that it had not seen, after its last epoch. Of all of them together no score is "
    "known."
)
_SLICES = "Divided by slice, so that a patient is on both sides: the score is too good to be true."
_VERSIONS = ("segtune", "torch", "numpy")


@dataclass(frozen=True)
class CardParts:
    """What a card is written from.

    Args:
        study: What was searched.
        data: The search's record of its data, see :mod:`tune.data_summary`.
        start: The search's record of its last start: versions, device, commit.
        splits: How the patients were divided; None where nobody knows any more.
        parts: What each member was trained and validated on, in their order.
        members: One mapping for each network: trial, epoch, seed and score.
        kind: ``trial``, ``top``, ``folds`` or ``retrained``.
        score: What is known of how good it is; None if nothing.
        post: Note of the post-processing.
    """

    study: StudyFile
    data: Mapping[str, Any]
    start: Mapping[str, Any]
    splits: Splits | None
    parts: Sequence[Split]
    members: Sequence[Mapping[str, Any]]
    kind: str
    score: Mapping[str, Any] | None
    post: str


def write_card(given: CardParts) -> dict[str, Any]:
    """The card of a model.

    Patients are named by :func:`hash_group` only, so that ``segtune evaluate`` can say
    which cases of a folder the model has seen.

    Args:
        given: What it is written from.

    Returns:
        Plain JSON: ``kind``, ``study``, ``members``, ``score``, ``empty_masks``, ``split``,
        ``data``, ``patients``, ``phantom``, ``post_processing``, ``intended_use``,
        ``limits``, ``trained_with`` and ``made_with``.
    """
    study, data, start = given.study, given.data, given.start
    classes = list(data.get("classes", ()))
    phantom = bool(data.get("phantom"))
    return {
        "kind": given.kind,
        "study": {"name": study.name, "description": study.description},
        "members": [dict(one) for one in given.members],
        "score": None if given.score is None else dict(given.score),
        "empty_masks": EMPTY_MASKS,
        "split": _split(study, given.splits),
        "data": {
            name: data.get(name)
            for name in (
                *("key", "layout", "channels", "classes", "image_size", "unit", "normalise"),
                *("patients", "cases", "slices", "notes"),
            )
        },
        "patients": _patients(given),
        "phantom": phantom,
        "post_processing": given.post,
        "intended_use": _USE.format(classes=", ".join(classes) or "what its classes name"),
        "limits": _limits(given, phantom=phantom),
        "trained_with": {
            name: start[name]
            for name in ("versions", "python", "device", "commit", "auto_precision")
            if name in start
        },
        "made_with": {name: importlib.metadata.version(name) for name in _VERSIONS},
    }


def hash_group(name: str, salt: str) -> str:
    """A patient's name as a card has it.

    The same patient is found again, and the name cannot be read. Who has a list of names
    can try them all: a card says who was trained on, it hides that from nobody who knows.

    Args:
        name: Of the group: a patient, or a case where a study was divided by slice.
        salt: The card's ``patients.salt``, so that cards of two data sets share no hash.

    Returns:
        Sixteen hexadecimal digits.
    """
    return hashlib.sha256(f"{salt}\n{name}".encode()).hexdigest()[:16]


def _split(study: StudyFile, splits: Splits | None) -> dict[str, Any]:
    """The rule, and what is doubtful about it."""
    spec = study.split
    by = spec.by if splits is None else splits.by
    unit = "patient" if by == "patient" else "slice"
    rule = f"by {unit}: {spec.val:g} of the {unit}s validate, {spec.test:g} stay locked"
    if splits is not None and splits.fold_trains:
        rule = f"by patient, as the data folder divides them, fold {spec.fold}"
    warning = "" if splits is None else splits.warning
    return {"by": by, "rule": rule, "seed": spec.seed, "warning": warning}


def _patients(given: CardParts) -> dict[str, Any]:
    salt = str(given.data.get("key", ""))

    def hashed(names: Iterable[str]) -> list[str]:
        return sorted({hash_group(_patient(name, given.splits), salt) for name in names})

    train = hashed(name for part in given.parts for name in part.train)
    val = hashed(name for part in given.parts for name in part.val)
    return {
        "salt": salt,
        "num_trained": len(train),
        "trained": train,
        "validated": sorted(set(val) - set(train)),
        "locked": hashed(given.splits.test if given.splits else ()),
    }


def _patient(name: str, splits: Splits | None) -> str:
    """Of a slice the case that it is from."""
    return name.rpartition("#")[0] if splits is not None and splits.by == "slice" else name


def _limits(given: CardParts, *, phantom: bool) -> list[str]:
    limits = [_PHANTOM] if phantom else []
    if given.splits is not None and given.splits.by == "slice":
        limits.append(_SLICES)
    seen = any(one.get("fold") == "all" for one in given.members)
    limits.append(_SEEN if seen else _CROSSED if given.kind == "folds" else _CHOSEN)
    return [*limits, *_LIMITS]
