"""The records in ``environment.json``, held against what a search writes before they are used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

__all__ = ["read_starts"]

_ANY_MORE = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Counts(TypedDict):
    __pydantic_config__ = _ANY_MORE  # type: ignore[misc]
    patients: int
    cases: int
    slices: int


class _Data(TypedDict, total=False):
    __pydantic_config__ = _ANY_MORE  # type: ignore[misc]
    key: Annotated[str, Field(pattern="^[0-9A-Za-z]{1,64}$")]
    phantom: bool
    layout: str
    channels: list[str]
    classes: list[str]
    num_logits: int
    image_size: int
    unit: str
    patients: int
    cases: int
    slices: int
    notes: list[str]
    parts: dict[str, _Counts]


class _Start(TypedDict, total=False):
    __pydantic_config__ = _ANY_MORE  # type: ignore[misc]
    versions: dict[str, str]
    python: str
    system: str
    machine: str
    device: str
    cores: int
    commit: str | None
    data: _Data
    storage: str
    splits: str


class _File(TypedDict):
    __pydantic_config__ = _ANY_MORE  # type: ignore[misc]
    starts: list[_Start]


_FILE = TypeAdapter(_File)


def read_starts(content: bytes) -> list[dict[str, Any]]:
    """One record for each start of a search.

    What a later version writes besides is kept; what this one reads is of its type.

    Args:
        content: Of the file.

    Returns:
        The records, oldest first.

    Raises:
        ValueError: It is no JSON, or not what a search writes.
    """
    starts = _FILE.validate_json(content)["starts"]
    counts = set(_Counts.__annotations__)
    for start in starts:
        if counts & set(data := start.get("data", {})) and not counts <= set(data):
            raise ValueError(f"data with some of the counts {', '.join(sorted(counts))} only")
    return [dict(start) for start in starts]
