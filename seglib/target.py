"""Target: how grey values in a mask file become labels, and labels become classes.

A stored mask holds small whole numbers, the *labels* (0 is background). A
*class* is what is scored: a set of labels. Three kinds cover the field:

========  ==========================  ========  =========================
kind      classes                     logits    activation
========  ==========================  ========  =========================
binary    one                         1         sigmoid
organs    K, exclusive                1 + K     softmax, channel 0 ground
regions   R, may overlap              R         sigmoid
========  ==========================  ========  =========================
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Target"]


class Target(BaseModel):
    """What the network must find, as data. Plain JSON goes in and comes out.

    ``values`` maps every grey value that a source mask may hold to its label.
    ``members[c]`` lists the labels that make up class ``c``. Background is never
    a class, so it can enter no mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["binary", "organs", "regions"]
    classes: tuple[str, ...]
    values: dict[int, int]
    members: tuple[tuple[int, ...], ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = set(self.values.values())
        if not self.classes or len(self.members) != len(self.classes):
            raise ValueError("a target needs at least one class, and labels for each")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes of a target share a name")
        if any(not part or 0 in part or not set(part) <= labels for part in self.members):
            raise ValueError("a class must be made of labels above 0 that some value maps to")
        if self.kind == "binary" and len(self.classes) != 1:
            raise ValueError("a binary target has exactly one class")
        if self.kind == "organs" and self.members != tuple(
            (i + 1,) for i in range(len(self.members))
        ):
            raise ValueError("organ number i must be label i + 1")
        return self

    @property
    def num_classes(self) -> int:
        """Foreground classes."""
        return len(self.classes)

    @property
    def num_logits(self) -> int:
        """Channels the network puts out."""
        return self.num_classes + (1 if self.kind == "organs" else 0)

    @property
    def num_labels(self) -> int:
        """Size of a table indexed by label."""
        return max(self.values.values()) + 1

    def membership(self) -> list[list[bool]]:
        """Table ``[label][class]``: does this label belong to that class?

        ``table[mask]`` turns a mask ``(B, H, W)`` into planes ``(B, H, W, C)``.
        """
        return [[label in part for part in self.members] for label in range(self.num_labels)]

    def mirror_pairs(self) -> tuple[tuple[int, int], ...]:
        """Labels that trade places when an image is flipped left to right.

        Classes whose names differ in ``left`` and ``right`` only, such as
        ``left_lung`` and ``right_lung``, each made of one label.
        """
        single = {
            name: part[0]
            for name, part in zip(self.classes, self.members, strict=True)
            if len(part) == 1
        }
        return tuple(
            (label, single[name.replace("left", "right")])
            for name, label in single.items()
            if "left" in name and name.replace("left", "right") in single
        )
