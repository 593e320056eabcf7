"""Early-stopping audit: is a first look a look or a lottery, and what did stopping save?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune.entries import Entry
from tune.leaderboard import as_clock
from tune.reporting.intervals import Interval, rank_interval
from tune.study_file import StudyFile

__all__ = ["FEWEST", "LOW", "Rung", "StoppingAudit", "audit_stopping"]

LOW = 0.5
"""A rank correlation below this orders two trials right in less than two of three cases."""

FEWEST = 6
"""Of fewer complete trials no correlation is told: its interval would reach almost everywhere."""


@dataclass(frozen=True)
class Rung:
    """One epoch after which trials may be stopped.

    Args:
        epoch: After which.
        num_reached: Trials that trained so far.
        num_stopped: Trials that were stopped there.
        num_complete: Trials that went on to their end.
        found: Rank correlation of the score there with that of the last epoch.
        num_onward: Trials that trained on to the next rung.
        onward: Rank correlation of the score there with that at the next rung.
    """

    epoch: int
    num_reached: int
    num_stopped: int
    num_complete: int
    found: Interval
    num_onward: int
    onward: Interval

    @property
    def is_told(self) -> bool:
        """Are there enough complete trials, and do they differ?"""
        return self.num_complete >= FEWEST and self.found.known

    @property
    def is_low(self) -> bool:
        """Does the score there say little of the last one, as far as can be told?"""
        return self.is_told and self.found.estimate < LOW

    @property
    def correlation(self) -> str:
        """The correlation with the last score, or why there is none."""
        return _tell(self.found, self.num_complete)

    @property
    def onward_correlation(self) -> str:
        """The correlation with the score at the next rung; empty at the last one."""
        return _tell(self.onward, self.num_onward) if self.num_onward else ""


@dataclass(frozen=True)
class StoppingAudit:
    """What early stopping looked at, did and saved in one search.

    Args:
        rungs: Rising.
        num_trials: Trials that trained.
        num_stopped: Those that were stopped early.
        epochs_saved: Epochs that the stopped trials would have trained.
        epochs_trained: Epochs of all trials.
        seconds_saved: What the epochs saved would have taken, each as long as the mean
            epoch of its own trial.
        seconds_trained: What all trials took.
    """

    rungs: tuple[Rung, ...]
    num_trials: int
    num_stopped: int
    epochs_saved: int
    epochs_trained: int
    seconds_saved: float = 0.0
    seconds_trained: float = 0.0

    @property
    def saving(self) -> str:
        """What was stopped and saved."""
        if not self.num_stopped:
            return f"No trial of {self.num_trials} was stopped early."
        whole = self.epochs_saved + self.epochs_trained
        return (
            f"Early stopping ended {self.num_stopped} of {self.num_trials} trials and saved "
            f"{self.epochs_saved:,} of {whole:,} epochs ({self.epochs_saved / whole:.0%})"
            f"{self._time_saved}."
        )

    @property
    def _time_saved(self) -> str:
        """In time of trials, however many ran at once."""
        whole = self.seconds_saved + self.seconds_trained
        if not whole:
            return ""
        saved, all_of = as_clock(self.seconds_saved), as_clock(whole)
        return f", about {saved} of {all_of} of training ({self.seconds_saved / whole:.0%})"

    @property
    def warnings(self) -> list[str]:
        """A sentence if trials may have been stopped, or kept, by luck."""
        low = [rung for rung in self.rungs if rung.is_low]
        if not low:
            return []
        told = [
            f"{_decimal(rung.found.estimate)} {_ends(rung.found)} at epoch {rung.epoch}"
            for rung in low
        ]
        return [
            f"Early stopping may be a lottery: rank correlation with the last score {_list(told)}, "
            f"over {low[0].num_complete} trials that ran to their end. "
            "A later first look (early_terminate.min_iter) is safer."
        ]

    @property
    def notes(self) -> list[str]:
        """A sentence if it cannot be told yet."""
        unknown = [rung for rung in self.rungs if not rung.is_told]
        if not unknown:
            return []
        epochs = _list([str(rung.epoch) for rung in unknown])
        few = unknown[0].num_complete < FEWEST
        count = unknown[0].num_complete
        reason = (
            f"{count} {'trial' if count == 1 else 'trials'} ran to the end, {FEWEST} are needed"
            if few
            else "the scores are all the same"
        )
        return [f"Whether the score at epoch {epochs} tells the last one cannot be told: {reason}."]


def audit_stopping(study: StudyFile, entries: Sequence[Entry]) -> StoppingAudit | None:
    """Hold the scores at each rung against those after the last epoch.

    Only trials that ran to their end have both, and they are mostly those that passed
    every rung. Trials that go on from another one are that one again, and left out.

    Args:
        study: Says where the rungs are.
        entries: All trials of its ledger.

    Returns:
        The audit; None where no trial trained, or the study compares no trials at a rung.
    """
    trained = [entry for entry in entries if entry.rows and entry.extends is None]
    rule = study.early_terminate
    epochs = [rule.min_iter] if rule.type == "median" else study.rungs()
    if not trained or not epochs:
        return None
    stopped = [entry for entry in trained if entry.state == "PRUNED"]
    lengths = [int(entry.recipe.get("epochs", len(entry.rows))) for entry in stopped]
    left = [whole - len(e.rows) for whole, e in zip(lengths, stopped, strict=True)]
    return StoppingAudit(
        rungs=tuple(
            _audit_rung(*pair, trained) for pair in zip(epochs, [*epochs[1:], 0], strict=True)
        ),
        num_trials=len(trained),
        num_stopped=len(stopped),
        epochs_saved=sum(left),
        epochs_trained=sum(len(entry.rows) for entry in trained),
        seconds_saved=sum(
            count * _seconds(entry) / len(entry.rows)
            for count, entry in zip(left, stopped, strict=True)
        ),
        seconds_trained=sum(map(_seconds, trained)),
    )


def _seconds(entry: Entry) -> float:
    return sum(row["seconds"] for row in entry.rows)


def _audit_rung(epoch: int, following: int, trained: Sequence[Entry]) -> Rung:
    done = [e for e in trained if e.state == "COMPLETE" and len(e.rows) > epoch]
    onward = [entry for entry in trained if following and len(entry.rows) >= following]

    def column(entries: Sequence[Entry], place: int) -> list[float]:
        return [entry.rows[place]["score"] for entry in entries]

    return Rung(
        epoch=epoch,
        num_reached=sum(len(entry.rows) >= epoch for entry in trained),
        num_stopped=sum(
            e.state == "PRUNED" and epoch <= len(e.rows) < (following or math.inf) for e in trained
        ),
        num_complete=len(done),
        found=rank_interval(column(done, epoch - 1), column(done, -1)),
        num_onward=len(onward),
        onward=rank_interval(column(onward, epoch - 1), column(onward, following - 1)),
    )


def _tell(found: Interval, count: int) -> str:
    if count < FEWEST:
        return f"cannot be told from {count}; {FEWEST} are needed"
    if not found.known:
        return "cannot be told: the scores are all the same"
    return f"{_decimal(found.estimate)} {_ends(found)}"


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _ends(found: Interval) -> str:
    return f"[{_decimal(found.low)}, {_decimal(found.high)}]"


def _list(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
