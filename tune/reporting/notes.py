"""What a reader of a report must know besides its figures: doubts and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune.reporting.early_stopping import audit_stopping
from tune.reporting.evidence import PointData, RunData, TrialData
from tune.reporting.reliability import as_sentence, name_trial, say_length
from tune.study_file import StudyFile

__all__ = ["PHANTOMS", "SEEN", "describe_run", "note_run", "say_machine", "warn_run"]

PHANTOMS = (
    "PHANTOMS: the images are generated, not patients. The figures show that the software "
    "works, nothing else."
)
SEEN = (
    "The networks of this run have trained on the validation cases, too. Each figure below is on "
    "cases that they have seen: it tells that a training went well, not how good the model is."
)
_PARTS = {"train": "training", "val": "validation", "test": "locked test"}


def describe_run(run: RunData) -> list[tuple[str, str]]:
    """What was run: study, data with counts, split, training.

    Args:
        run: The run.

    Returns:
        Term and text of each line.
    """
    study, data = run.study, run.data
    epochs = sorted({point.recipe["epochs"] for point in run.points if "epochs" in point.recipe})
    seeds = ", ".join(map(str, study.seeds)) if study.seeds else f"one, from {study.seed}"
    word = "points" if study.method == "grid" else "recipes tried"
    folds = "" if study.folds == () else f"; folds: {', '.join(map(str, study.parts))}"
    lines = [
        (
            "Study",
            f"{study.name}, {study.method}: {len(run.points)} {word}" + _describe_study(study),
        ),
        ("Data", _describe_data(run)),
        ("Split", _describe_split(run)),
        ("Training", f"{' or '.join(map(str, epochs)) or '?'} epochs; seeds: {seeds}{folds}"),
    ]
    if data.get("image_size"):
        classes = ", ".join(data.get("classes", ()))
        text = f"{', '.join(data.get('channels', ()))} at {data['image_size']} px → {classes}"
        lines.insert(2, ("Images", text))
    machine = say_machine(run.starts[-1]) if run.starts else ""
    return [*lines, ("Machine", machine)] if machine else lines


def say_machine(start: Mapping[str, Any]) -> str:
    """Where trials train: on the nodes of a cluster, else on the machine of the search itself.

    Args:
        start: Record of the start of a search.

    Returns:
        Like nodes in a line; empty where nothing was written down.
    """
    texts = [_say_node(node) for node in start.get("nodes", ())]
    if not texts:
        return str(start.get("device") or "")
    alike = [f"{texts.count(text)} × {text}" for text in dict.fromkeys(texts)]
    return f"{len(texts)} node{'' if len(texts) == 1 else 's'}: {'; '.join(alike)}"


def _say_node(node: Mapping[str, Any]) -> str:
    cpus, gpus = node.get("cpus", 0), node.get("gpus", 0)
    text = f"{cpus:g} core{'' if cpus == 1 else 's'}"
    if processor := node.get("processor"):
        text += f" of {processor}"
    if gpus:
        kind, memory_gb = node.get("kind") or "GPU", node.get("gpu_memory_gb")
        text += f", {gpus:g} × {kind}" + (f" with {memory_gb:.0f} GB" if memory_gb else "")
    return text


def warn_run(run: RunData) -> list[str]:
    """What makes the figures doubtful, to be said before them.

    Args:
        run: The run.

    Returns:
        Sentences.
    """
    warnings = [PHANTOMS] if run.phantom else []
    if run.study.folds == "all":
        warnings.append(SEEN)
    if run.splits is not None and run.splits.warning:
        warnings.append(as_sentence(run.splits.warning))
    notes = run.data.get("notes", ())
    warnings += [as_sentence(note) for note in notes if "own patient" in note]
    audit = audit_stopping(run.study, run.view.entries)
    return warnings + (audit.warnings if audit else [])


def note_run(run: RunData) -> list[str]:
    """What is missing.

    Args:
        run: The run.

    Returns:
        Sentences.
    """
    notes = _note_progress(run)
    notes += [as_sentence(note) for note in run.data.get("notes", ()) if "own patient" not in note]
    trials = [(point, trial) for point in run.points for trial in point.trials]
    notes += _note_missing(trials)
    audit = audit_stopping(run.study, run.view.entries)
    notes += audit.notes if audit else []
    return notes + [
        f"{name_trial(*pair)} is not finished: {say_length(pair[1])}."
        for pair in trials
        if pair[1].entry.state == "RUNNING"
    ]


def _note_progress(run: RunData) -> list[str]:
    # at its end a search still holds its folder while its report is written
    running = run.view.held and any(entry.state == "RUNNING" for entry in run.view.entries)
    notes = ["The search is running: the figures are those of now."] if running else []
    planned = run.study.num_planned
    started = sum(entry.started for entry in run.view.entries)
    if planned is not None and started < planned:
        notes.append(f"{planned - started} of {planned} trials have not started.")
    return notes


def _note_missing(trials: Sequence[tuple[PointData, TrialData]]) -> list[str]:
    """Trials that are in no comparison: in a long search they are many, so in one sentence."""
    stopped = [
        f"{name_trial(point, trial)} after {say_length(trial)}"
        for point, trial in trials
        if trial.entry.state == "PRUNED"
    ]
    bare = [name_trial(*pair) for pair in trials if pair[1].complete and pair[1].final is None]
    notes = [f"Stopped early, so in no comparison: {'; '.join(stopped)}."] if stopped else []
    if bare:
        notes.append(
            "Trained by a version that wrote no figures per case of the last epoch, so in no "
            f"comparison: {'; '.join(bare)}."
        )
    return notes


def _describe_data(run: RunData) -> str:
    data, asked = run.data, run.study.data.layout
    # generated patients lie in a folder of one of the layouts
    layout = f"{asked}, generated PHANTOMS" if run.phantom else data.get("layout", asked)
    return f"{layout}: {_count(data)}" if "patients" in data else layout


def _describe_split(run: RunData) -> str:
    if run.splits is None:
        return "not drawn yet"
    parts = run.data.get("parts")
    counts = [f"{_PARTS[name]} {_count(parts[name])}" for name in _PARTS if parts and name in parts]
    text = f"by {run.splits.by}, seed {run.splits.seed}"
    return f"{text}: {'; '.join(counts)}" if counts else text


def _count(counts: Mapping[str, int]) -> str:
    words = {"patients": "patient", "cases": "case", "slices": "slice"}
    return ", ".join(
        f"{counts[name]:,} {word if counts[name] == 1 else name}" for name, word in words.items()
    )


def _describe_study(study: StudyFile) -> str:
    text = f". {as_sentence(study.description)}" if study.description else ""
    if study.demo:
        text += f"{' That' if text else '. Its file'} describes the full study; this is its demo, "
        text += "whose settings differ."
    return text
