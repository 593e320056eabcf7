"""Which checkpoints are worth their disk: those of trials at work and of the best that ended."""

from __future__ import annotations

import shutil
from pathlib import Path

from tune.ledger import Ledger, Order
from tune.report import best_row

__all__ = ["CheckpointKeeper"]

KEPT = 5


class CheckpointKeeper:
    """Removes the checkpoints of ended trials that are not among the best.

    A network with its optimiser takes three times its weights, and a search makes
    many. What the trials found (``epochs.csv``, ``cases.csv``, the ledger) stays.

    Args:
        ledger: Says how trials ended.
        run_dir: The run directory.
    """

    def __init__(self, ledger: Ledger, run_dir: Path) -> None:
        self._ledger, self._run_dir = ledger, run_dir

    def started(self, order: Order) -> None:
        """Nothing to remove yet."""

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Nothing to remove yet."""

    def finished(self, number: int) -> None:
        """Remove what is no longer worth keeping."""
        file = self._ledger.file
        ended = [e for e in self._ledger.entries() if e.state in ("COMPLETE", "PRUNED", "FAIL")]
        rows = {entry.number: best_row(file, entry) for entry in ended if entry.state != "FAIL"}
        scores = {number: row["score"] for number, row in rows.items() if row is not None}
        best_first = sorted(scores, key=scores.__getitem__, reverse=file.metric.goal == "maximize")
        kept = set(best_first[:KEPT])
        for entry in ended:
            folder = self._run_dir / "trials" / str(entry.number) / "checkpoint"
            if entry.number in kept:
                (folder / "last.pt.previous").unlink(missing_ok=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
