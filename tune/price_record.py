"""What was predicted for a search, and the time that it really took: two small files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seglib.errors import Problem, RunError
from seglib.files import write_whole
from seglib.foreign import read_bounded
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from tune.ledger import Order

__all__ = [
    "PRICE",
    "SPENT",
    "Ends",
    "PriceRecord",
    "SpentTime",
    "keep_price",
    "price_file",
    "price_key",
    "read_price",
    "read_spent",
]

Record = TypeVar("Record", bound=BaseModel)

PRICE: Final = "price.json"
SPENT: Final = "spent.json"
_MOST_BYTES: Final = 2**20
_SECONDS_BETWEEN_WRITES: Final = 10.0
_OF_NO_COST: Final = (
    *("name", "description", "published", "tracking", "project", "entity", "demo"),
)  # fmt: skip

Figure = Annotated[float, Field(ge=0)]
Ends = tuple[Figure, Figure, Figure]
"""Low end of an interval, middle, high end."""


class PriceRecord(BaseModel):
    """A prediction, as it is written down.

    Args:
        made: When, to the minute.
        key: Of the study and its data: what it is a prediction for.
        device: Where it was measured.
        slots: Trials at once.
        num_planned: Trials in all; None where only a budget ends the search.
        num_measured: Cost classes that were measured.
        num_classes: Cost classes.
        cpu_share: Share of the time that the measuring processes had their cores.
        on_gpu: Whether trials train on a GPU.
        each: GPUs of a trial, or cores where it has none.
        gpu_hour: What an hour of a GPU costs; None if it was not said.
        figures: Low end, middle and high end of each figure, by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    made: str
    key: str
    device: str
    slots: int = Field(ge=1)
    num_planned: int | None
    num_measured: int = Field(ge=0)
    num_classes: int = Field(ge=0)
    cpu_share: float = 1.0
    on_gpu: bool = False
    each: float = Field(1.0, gt=0)
    gpu_hour: float | None = None
    figures: Mapping[str, Ends]


class _Spent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    starts_s: tuple[Figure, ...]


def price_key(study: StudyFile, store_key: str) -> str:
    """The same for searches that must cost the same on one machine.

    Args:
        study: What is searched; what it is called does not count.
        store_key: Of the prepared data.

    Returns:
        A short text.
    """
    told = {name: part for name, part in study.resolved().items() if name not in _OF_NO_COST}
    text = json.dumps([told, store_key], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def price_file(cache: Path, key: str) -> Path:
    """Where a prediction waits for its search.

    Args:
        cache: Folder of the prepared data.
        key: From :func:`price_key`.

    Returns:
        The file.
    """
    return cache / "prices" / f"{key}.json"


def keep_price(run_dir: Path, cache: Path, study: StudyFile, store_key: str) -> None:
    """Put what was predicted for this search into its run directory, if anything was.

    Args:
        run_dir: The run directory.
        cache: Folder of the prepared data.
        study: What is searched.
        store_key: Of the prepared data.
    """
    source = price_file(cache, price_key(study, store_key))
    if not source.exists():
        return
    try:
        record = read_price(source)
    except RunError:  # made by another version, or damaged: it is no part of the search
        return
    if record is not None:
        write_whole(run_dir / PRICE, record.model_dump_json(indent=2) + "\n")


def read_price(path: Path) -> PriceRecord | None:
    """A prediction that was written down.

    Args:
        path: Its file.

    Returns:
        The prediction; None where there is no such file.

    Raises:
        RunError: The file is damaged.
    """
    return _read(path, PriceRecord)


def read_spent(run_dir: Path) -> float | None:
    """Seconds of all starts of a search, from the start of Ray to the last sign of a trial.

    Args:
        run_dir: The run directory.

    Returns:
        Seconds; None where nobody counted.

    Raises:
        RunError: The file is damaged.
    """
    spent = _read(run_dir / SPENT, _Spent)
    return None if spent is None else sum(spent.starts_s)


def _read(path: Path, model: type[Record]) -> Record | None:
    if not path.exists():
        return None
    try:
        return model.model_validate_json(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        hint = "it is a record only: move it away"
        problem = Problem(path.name, f"a damaged file ({first})", "what segtune wrote", hint)
        raise RunError(str(path.parent), [problem]) from None


class SpentTime:
    """Looks on at a search and writes down how long it has taken, in case it does not end well.

    Args:
        run_dir: The run directory.
        clock: Tells seconds.
    """

    def __init__(self, run_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = run_dir / SPENT, clock
        self._begun, self._written_at = clock(), float("-inf")
        try:
            before = _read(self._path, _Spent)
        except RunError:
            before = None
        self._before: tuple[float, ...] = before.starts_s if before is not None else ()

    def started(self, order: Order) -> None:
        """Nothing has been spent yet."""

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Write it down from time to time."""
        if self._clock() >= self._written_at + _SECONDS_BETWEEN_WRITES:
            self._write()

    def finished(self, number: int) -> None:
        """Write it down."""
        self._write()

    def _write(self) -> None:
        self._written_at = self._clock()
        now = round(self._written_at - self._begun, 1)
        text = json.dumps({"starts_s": [*self._before, now]}) + "\n"
        write_whole(self._path, text)
