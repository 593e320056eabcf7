"""The records in ``environment.json``, held against what a search writes before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from seglib.errors import Problem, RunError
from seglib.foreign import read_bounded

__all__ = ["load_starts", "read_starts", "require_place"]

_MOST_BYTES = 2**26

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


class _Node(TypedDict, total=False):
    __pydantic_config__ = _ANY_MORE  # type: ignore[misc]
    address: str
    cpus: float
    gpus: float
    kind: str
    gpu_memory_gb: float | None
    processor: str


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
    nodes: list[_Node]
    auto_precision: Literal["fp32", "fp16", "bf16"]
    url: str
    source: str
    cache: str


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


def load_starts(path: Path) -> list[dict[str, Any]]:
    """The same of a file.

    Args:
        path: ``environment.json`` of a run directory.

    Returns:
        The records, oldest first; none where there is no such file.

    Raises:
        RunError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        return read_starts(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError):
        hint = "it is a record only: move it away and the search goes on"
        problem = Problem("environment", "a damaged file", "what a search wrote", hint)
        raise RunError(str(path), [problem]) from None


def require_place(path: Path, place: str | None) -> None:
    """See that a run directory goes on where it was begun: at its URL, or here alone.

    Args:
        path: Its ``environment.json``.
        place: Its URL now, without secrets; None for none.

    Raises:
        RunError: It was begun at another place.
    """
    starts = load_starts(path)
    before = starts[-1].get("url") if starts else place
    if before == place:
        return
    hint = "a search is kept in one place; give what it was begun with, or another --out"
    if before is not None:
        hint += ".\nThe folder in OUT is a working copy: its checkpoints lie at the URL"
    problem = Problem("--storage-path", place or "no URL", before or "no URL", hint)
    raise RunError(str(path.parent), [problem])
