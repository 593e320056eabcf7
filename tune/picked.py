"""Networks of a run that were picked to make a model; how they are picked is in `picking`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglib.errors import Problem, RunError
from tune.run_directory import RunDirectory
from tune.run_view import RunView, view_run
from tune.study_file import StudyFile
from tune.study_parts import Fold
from tune.trial_files import LAST
from tune.urls import choose_ledger

__all__ = ["MODEL", "Kind", "Picked", "Picks", "look_at", "refuse_file", "refuse_several"]

MODEL = "model.pt"
Kind = Literal["trial", "top", "folds", "retrained"]


@dataclass(frozen=True)
class Picked:
    """One network.

    Args:
        checkpoint: Its file.
        trial: The trial that it is of; None for one of ``segtune fit``.
        fold: The fold that validated it; None for the search's own part.
    """

    checkpoint: Path
    trial: int | None = None
    fold: Fold | None = None


@dataclass(frozen=True)
class Picks:
    """Networks of one run that make a model together.

    Args:
        kind: How they were picked.
        folder: The run directory.
        study: What was trained there.
        networks: One or more, best first.
        said: What the user should know of the choice, in sentences.
    """

    kind: Kind
    folder: RunDirectory
    study: StudyFile
    networks: tuple[Picked, ...]
    said: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For the model's file: ``trial-7``, ``top-3``, ``folds``."""
        if self.kind == "top":
            return f"top-{len(self.networks)}"
        first = self.networks[0]
        if self.kind == "trial" and first.trial is not None:
            last = "-last" if first.checkpoint.name == Path(LAST).name else ""
            return f"trial-{first.trial}{last}"
        return self.kind


def refuse_several(source: Path, *, top: int, folds: bool) -> None:
    """Say that one network is one.

    Args:
        source: A file, or a trial's folder.
        top: Value of ``--top``.
        folds: Value of ``--folds``.

    Raises:
        RunError: More than one was asked for.
    """
    wanted = "a run directory as MODEL: this is one model"
    asked = [("--top", str(top))] * (top > 1) + [("--folds", "given")] * folds
    if asked:
        raise RunError(str(source), [Problem(option, found, wanted) for option, found in asked])


def refuse_file(run: Path) -> None:
    """Say that a run is a folder, to those who gave its study file.

    Args:
        run: What was given.

    Raises:
        RunError: It is a file.
    """
    if run.is_file():
        raise RunError(str(run), [Problem("RUN", "a file", "a run directory, such as runs/NAME")])


def look_at(run: Path) -> RunView:
    """A run as it stands.

    Args:
        run: The run directory.

    Returns:
        The run.

    Raises:
        RunError: It is none, or its ledger cannot be read.
    """
    if run.is_dir() and not (run / "study.yaml").exists():
        inside = sorted(path.parent.name for path in run.glob("*/study.yaml"))
        wanted = "a run directory, a trial's folder, or a model.pt"
        hint = f"one of those in it: {', '.join(inside)}" if inside else ""
        raise RunError(str(run), [Problem("MODEL", "a folder without study.yaml", wanted, hint)])
    return view_run(run, choose_ledger(None))
