"""Views of the ledger in Weights & Biases and TensorBoard: they look on and can delay nothing."""

from __future__ import annotations

import math
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune.ledger import Ledger, Order
from tune.report import best_row
from tune.wandb_tracker import WandbTracker

__all__ = ["TensorBoardTracker", "build_trackers", "choose_wandb_mode"]


class TensorBoardTracker:
    """One TensorBoard run per trial, under ``tensorboard/<number>`` of the run directory.

    A trial that goes on gets a new event file with all that the ledger knows, which
    makes TensorBoard drop the steps of the file before.

    Args:
        ledger: The memory of the search.
        folder: The run directory.
    """

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger, self._folder = ledger, folder
        self._writers: dict[int, Any] = {}

    def started(self, order: Order) -> None:
        """Open the trial's event file."""
        from tensorboardX import SummaryWriter

        self.finished(order.number)  # its process may have died, and it begins once more
        folder = self._folder / "tensorboard" / str(order.number)
        known = list(self._ledger.entry(order.number).rows)
        self._writers[order.number] = SummaryWriter(str(folder), purge_step=1 if known else None)
        for row in known:
            self._log(order.number, row)

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Write an epoch's figures."""
        self._log(number, row)

    def finished(self, number: int) -> None:
        """Close the trial's event file."""
        writer = self._writers.pop(number, None)
        if writer is not None:
            self._log_recipe(writer, number)
            writer.close()

    def close(self) -> None:
        """Close what is open."""
        for number in list(self._writers):
            self.finished(number)

    def _log(self, number: int, row: Mapping[str, float]) -> None:
        writer = self._writers[number]
        for key, value in row.items():
            if key != "epoch" and math.isfinite(value):
                writer.add_scalar(key, value, int(row["epoch"]))
        writer.flush()

    def _log_recipe(self, writer: Any, number: int) -> None:
        """For TensorBoard's table and parallel coordinates of all trials."""
        from tensorboardX.summary import hparams

        study, entry = self._ledger.file, self._ledger.entry(number)
        best = best_row(study, entry)
        if best is None:
            return
        knobs = {name: value for name, value in entry.values.items() if value is not None}
        name = f"best_{study.metric.name}"
        writer.add_scalar(name, best["score"], int(best["epoch"]))
        for part in hparams(knobs, {name: best["score"]}):
            writer.file_writer.add_summary(part)
        writer.flush()


def build_trackers(ledger: Ledger, folder: Path) -> list[WandbTracker | TensorBoardTracker]:
    """The views that the study file asks for.

    Args:
        ledger: The memory of the search.
        folder: The run directory.

    Returns:
        None, one or both.
    """
    trackers: list[WandbTracker | TensorBoardTracker] = []
    mode = choose_wandb_mode(ledger.file.tracking.wandb)
    if mode is not None:
        data = ledger.file.data.model_dump(mode="json")
        shared = {"study": ledger.file.name, "demo": ledger.file.demo, "data": data}
        trackers.append(WandbTracker(ledger, folder, mode, shared))
    if ledger.file.tracking.tensorboard:
        trackers.append(TensorBoardTracker(ledger, folder))
    return trackers


def choose_wandb_mode(wish: str) -> str | None:
    """``online``, ``offline`` or None, from the study file's ``tracking.wandb``.

    ``auto`` goes online only when a key is there: in ``WANDB_API_KEY`` or in the
    netrc file that ``wandb login`` writes. ``WANDB_MODE`` has the last word.

    Args:
        wish: ``auto``, ``online``, ``offline`` or ``off``.

    Returns:
        The mode, or None for no tracking there.
    """
    forced = os.environ.get("WANDB_MODE")
    if wish == "off" or forced == "disabled":
        return None
    if forced in ("online", "offline"):
        return forced
    if wish != "auto":
        return wish
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_knows_wandb() else "offline"


def _netrc_knows_wandb() -> bool:
    import netrc

    try:
        path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
        server = urllib.parse.urlsplit(os.environ.get("WANDB_BASE_URL") or "//api.wandb.ai")
        return netrc.netrc(str(path)).authenticators(server.hostname or "") is not None
    except (OSError, RuntimeError, ValueError, netrc.NetrcParseError):
        return False
