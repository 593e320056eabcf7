"""What lies in a run directory's ``trials/``, by name. Loads nothing, so reading stays quick."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BEST",
    "CASES",
    "EPOCHS",
    "ERROR",
    "FINAL",
    "LAST",
    "LEGACY",
    "NOTES",
    "OWNER",
    "RECIPE",
    "SMALL",
    "trial_folder",
]

LAST = "checkpoint/last.pt"
BEST = "checkpoint/best.pt"
EPOCHS = "epochs.csv"
CASES = "cases.csv"
FINAL = "final.csv"
LEGACY = "legacy.csv"
NOTES = "notes.txt"
RECIPE = "recipe.yaml"
ERROR = "error.txt"
OWNER = "owner.txt"

SMALL = (EPOCHS, CASES, NOTES, FINAL, LEGACY, ERROR)
"""What a trial's process writes for people to read."""


def trial_folder(run_dir: Path, number: int) -> Path:
    """Where a trial keeps its files.

    Args:
        run_dir: The run directory.
        number: The trial.

    Returns:
        The folder; it may not be there yet.
    """
    return run_dir / "trials" / str(number)
