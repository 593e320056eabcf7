"""Familiar: which cases of a folder a model has met, by the hashes on its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from seglib.image_digests import digest_image
from tune.card import hash_group

__all__ = ["Familiar"]

PARTS = {
    "trained": "the model was trained on them. This is no score for new patients.",
    "validated": "the model was chosen by them, and looks better on them than it is.",
    "locked": "they are of the test part that its search keeps locked. You have looked now.",
}
"""Of a card, the worst first, and what that means for a score."""


class Familiar:
    """Looks for the images and the names of patients that a model's card lists.

    Args:
        card: Of the model; without lists nothing is known.
    """

    def __init__(self, card: Mapping[str, Any]) -> None:
        patients, images = card.get("patients", {}), card.get("images", {})
        self._salt = str(patients.get("salt", ""))
        self._patients = _part_of(patients)
        self._images = _part_of(images)
        self._seen: dict[str, str] = {}

    @property
    def knows_images(self) -> bool:
        """Whether the card lists any image."""
        return bool(self._images)

    @property
    def knows_anything(self) -> bool:
        """Whether the card tells whom the model was trained on."""
        return bool(self._images or self._patients)

    def look(self, case: str, images: npt.NDArray[np.uint8]) -> None:
        """Look at prepared slices of a case.

        Args:
            case: Its name.
            images: As a store holds them, of the channels that the model looks at.

        Shape:
            - images: ``(N, H, W, C)``
        """
        for image in images:
            part = self._images.get(digest_image(image))
            if part is not None:
                self._seen[case] = _worse(part, self._seen.get(case))

    def by_case(self, patients: Mapping[str, str]) -> dict[str, str]:
        """What the model knows of each case.

        Args:
            patients: Case -> patient.

        Returns:
            Case -> ``trained``, ``validated`` or ``locked``; ``trained (name)`` and so on
            where only the patient's name is known; an empty text for strangers.
        """
        known = {}
        for case, patient in patients.items():
            # where a study was divided by slice, the names on the card are those of cases
            names = (patient, case)
            parts = [self._patients.get(hash_group(name, self._salt)) for name in names]
            part = next((one for one in parts if one is not None), None)
            by_name = "" if part is None else f"{part} (name)"
            known[case] = self._seen.get(case) or by_name
        return known

    def warnings(self, per_case: pd.DataFrame) -> list[str]:
        """What must be said aloud before anybody believes the scores.

        Args:
            per_case: With the columns ``patient`` and ``known_to_model``.

        Returns:
            Sentences.
        """
        if not self.knows_anything:
            return [
                "The model's card does not tell whom it was trained on: if it was these "
                "patients, the scores say nothing."
            ]
        total = per_case["patient"].nunique()
        counted = per_case.groupby("known_to_model")["patient"].nunique()
        said = []
        for part, what in PARTS.items():
            if part in counted:
                said.append(f"WARNING: {counted[part]} of {total} patients: {what}")
            if f"{part} (name)" in counted:
                text = f"{counted[f'{part} (name)']} of {total} patients have names of patients"
                said.append(
                    f"WARNING: {text} that it knows, with other images. If they are: {what}"
                )
        return said

    def compare(self, per_case: pd.DataFrame) -> str:
        """Dice apart for patients that the model has met and for others.

        Args:
            per_case: As for :meth:`warnings`.

        Returns:
            A sentence; empty where it has met none.
        """
        groups = per_case["known_to_model"].replace("", "strangers")
        if not self.knows_anything or set(groups) == {"strangers"}:
            return ""
        means = per_case.groupby([groups, "class"])["dice"].mean().groupby(level=0).mean()
        counts = per_case.groupby(groups)["patient"].nunique()
        said = [f"{name} {means[name]:.3f} ({counts[name]})" for name in means.index]
        return f"Dice by what the model knows of a patient (patients): {', '.join(said)}"


def _part_of(lists: Mapping[str, Any]) -> dict[str, str]:
    """Hash -> part; what is in several is in the worst."""
    found: dict[str, str] = {}
    for part in reversed(PARTS):
        found |= dict.fromkeys(_texts(lists.get(part, ())), part)
    return found


def _texts(given: Iterable[Any]) -> Iterable[str]:
    return (str(one) for one in given)


def _worse(one: str, other: str | None) -> str:
    order = list(PARTS)
    return one if other is None or order.index(one) < order.index(other) else other
