"""Reliability: what went wrong while a search ran, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tune.reporting.evidence import PointData, RunData, TrialData

__all__ = ["Event", "Reliability", "as_sentence", "log_reliability", "name_trial", "say_length"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Args:
        kind: In a word or two.
        place: The trial, or the search itself.
        text: What it was, in a sentence.
    """

    kind: str
    place: str
    text: str


@dataclass(frozen=True)
class Reliability:
    """What there is to tell of one search.

    Args:
        counts: What is counted, and how often it happened.
        events: Of the search first, then by trial.
    """

    counts: tuple[tuple[str, int], ...]
    events: tuple[Event, ...]


def log_reliability(run: RunData) -> Reliability:
    """Gather starts, failures, smaller batches and refusals.

    Args:
        run: The run.

    Returns:
        The log; without events where all went as planned.
    """
    trials = [(point, trial) for point in run.points for trial in point.trials]
    refused = [entry for entry in run.view.entries if entry.state == "FAIL" and not entry.started]
    events = [Event("change", "search", text) for text in _changes(run)]
    if refused:
        text = f"{len(refused)} proposals could not run here, such as: {refused[-1].reason}"
        events.append(Event("refused", "search", as_sentence(text)))
    events += [event for pair in trials for event in _events(*pair)]
    failed = [trial.entry for _, trial in trials if trial.entry.state == "FAIL"]
    diverged = sum(_is_diverged(entry.reason) for entry in failed)
    counts = (
        ("restarts of the search", max(0, len(run.starts) - 1)),
        ("trials begun anew", sum("trained again from epoch 1" in t.note for _, t in trials)),
        ("memory ran out, smaller batches", sum(len(_shrinks(trial)) for _, trial in trials)),
        ("training steps not finite, skipped", sum(_skipped(trial) for _, trial in trials)),
        ("trials diverged", diverged),
        ("trials failed otherwise", len(failed) - diverged),
        ("proposals that could not fit", len(refused)),
    )
    if len(run.starts) > 1:
        text = f"The search was started {len(run.starts)} times and went on each time."
        events.insert(0, Event("restart", "search", text))
    return Reliability(counts, tuple(events))


def name_trial(point: PointData, trial: TrialData) -> str:
    """Its point's name, number, seed and fold.

    Args:
        point: The point that it trains.
        trial: The trial.

    Returns:
        Like ``1a (trial 0, seed 0)``.
    """
    number = f"trial {trial.entry.number}"
    seed = "" if trial.entry.seed is None else f", seed {trial.entry.seed}"
    seed += "" if trial.entry.fold is None else f", fold {trial.entry.fold}"
    return number if point.name == number else f"{point.name} ({number}{seed})"


def say_length(trial: TrialData) -> str:
    """How much of its training a trial has.

    Args:
        trial: The trial.

    Returns:
        Like ``2 of 9 epochs``.
    """
    return f"{len(trial.entry.rows)} of {trial.entry.recipe.get('epochs', '?')} epochs"


def as_sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _events(point: PointData, trial: TrialData) -> list[Event]:
    entry, name, events = trial.entry, name_trial(point, trial), []
    if entry.state == "FAIL":
        kind = "diverged" if _is_diverged(entry.reason) else "failed"
        text = f"Failed after {say_length(trial)}: {as_sentence(entry.reason)}"
        events.append(Event(kind, name, text))
    if skipped := _skipped(trial):
        steps = f"{skipped} training step{'s that were' if skipped > 1 else ' that was'}"
        events.append(Event("skipped", name, f"Skipped {steps} not finite."))
    shrinks = _shrinks(trial)
    noted = [line for line in trial.note.splitlines() if line.strip()]
    if shrinks and not any("out of memory" in line for line in noted):
        noted += [f"epoch {epoch}: out of memory, trained on {size} at a time"
                  for epoch, size in shrinks]  # fmt: skip
    return events + [Event(_kind(line), name, as_sentence(line)) for line in noted]


def _kind(line: str) -> str:
    words = {"out of memory": "memory", "trained again": "begun anew", "checkpoint": "checkpoint"}
    return next((kind for word, kind in words.items() if word in line), "note")


def _is_diverged(reason: str) -> bool:
    return reason.startswith("diverged")


def _skipped(trial: TrialData) -> int:
    return int(sum(row.get("skipped_steps", 0) for row in trial.entry.rows))


def _shrinks(trial: TrialData) -> list[tuple[int, int]]:
    """Epochs at which memory ran out, and how many images went through at once from there."""
    rows, whole = trial.entry.rows, trial.entry.recipe.get("batch_size")
    if not isinstance(whole, int):
        return []  # a ledger that was altered may hold anything
    sizes = [(0, whole), *((int(r["epoch"]), int(r.get("micro_batch", whole))) for r in rows)]
    return [(epoch, size) for (_, before), (epoch, size) in pairwise(sizes) if size < before]


def _changes(run: RunData) -> list[str]:
    notes = []
    versions = [start.get("versions", {}) for start in run.starts]
    for name in dict.fromkeys(name for known in versions for name in known):
        used = list(dict.fromkeys(str(known.get(name)) for known in versions))
        if len(used) > 1:
            notes.append(f"{name} changed between starts: {' → '.join(used)}.")
    commits = list(dict.fromkeys(str(start.get("commit"))[:10] for start in run.starts))
    if len(commits) > 1:
        notes.append(f"The source changed between starts: {' → '.join(commits)}.")
    formats = list(dict.fromkeys(s["auto_precision"] for s in run.starts if "auto_precision" in s))
    if len(formats) > 1:
        told = " → ".join(formats)
        notes.append(f"The number format of precision auto changed between starts: {told}.")
    return notes
