from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from seglib.data.store import Store
from tests.tune.test_report import SCORES, fill
from tune.ledger import Ledger
from tune.reporting.evidence import RunData, gather
from tune.reporting.notes import PHANTOMS, describe_run, note_run, say_machine, warn_run
from tune.run_directory import RunDirectory
from tune.study_file import load_study


def read(run: Path) -> RunData:
    (data,) = gather(run)
    return data


def test_run_is_described_with_its_counts(task_data: RunData, store: Store) -> None:
    told = dict(describe_run(task_data))
    info = store.info
    assert told["Study"] == "task1, grid: 2 points"
    assert told["Data"] == (
        f"phantom-brats, generated PHANTOMS: {info.num_groups} patients, {info.num_cases} cases, "
        f"{info.num_slices} slices"
    )
    assert told["Images"] == "flair, t1ce, t1, t2 at 32 px → WT, TC, ET"
    assert told["Split"].startswith("by patient, seed 7: training 2 patients, 2 cases, ")
    assert "validation 4 patients" in told["Split"]
    assert "locked test 2 patients" in told["Split"]
    assert told["Training"] == "3 epochs; seeds: 0, 1, 2"
    assert told["Machine"]


def test_complete_run_on_phantoms_has_one_warning_and_a_note_on_the_data(
    task_data: RunData,
) -> None:
    assert warn_run(task_data) == [PHANTOMS]
    assert note_run(task_data) == ["3 slices that show nothing of the body were left out."]


def test_split_by_slice_is_warned_of(task: Path) -> None:
    path = task / "splits.json"
    known = json.loads(path.read_text()) | {"warning": "split by slice: too good to be true"}
    path.write_text(json.dumps(known))
    assert "Split by slice: too good to be true." in warn_run(read(task))


def test_what_is_not_done_is_named(partial_data: RunData) -> None:
    notes = note_run(partial_data)
    assert "8 of 12 trials have not started." in notes
    assert "2b (trial 3, seed 0) is not finished: 1 of 3 epochs." in notes


def test_search_at_work_is_named(partial: Path) -> None:
    with RunDirectory(partial).locked():
        assert note_run(read(partial))[0] == "The search is running: the figures are those of now."
    assert not any("is running" in note for note in note_run(read(partial)))


def test_search_that_has_trained_all_is_not_at_work_though_it_holds_its_folder(task: Path) -> None:
    with RunDirectory(task).locked():
        assert not any("is running" in note for note in note_run(read(task)))


def test_demo_says_that_its_settings_are_not_those_of_the_description(
    task_data: RunData,
) -> None:
    run = task_data
    study = replace(run.study, demo=True, description="16 filters")
    told = dict(describe_run(replace(run, view=replace(run.view, study=study))))
    assert told["Study"] == (
        "task1, grid: 2 points. 16 filters. That describes the full study; this is its demo, "
        "whose settings differ."
    )


def test_machines_of_a_cluster_are_told_in_place_of_the_drivers() -> None:
    cpus = {"cpus": 8.0, "gpus": 0.0, "processor": "EPYC"}
    gpus = {"cpus": 1.0, "gpus": 2.0, "kind": "L4", "gpu_memory_gb": 23.7, "processor": "Xeon"}
    start = {"device": "the head's CPU", "nodes": [cpus, gpus, cpus]}
    assert say_machine(start) == (
        "3 nodes: 2 × 8 cores of EPYC; 1 × 1 core of Xeon, 2 × L4 with 24 GB"
    )
    assert say_machine({"device": "CPU", "nodes": []}) == "CPU"
    assert say_machine({}) == ""


def test_trial_without_figures_per_case_is_named(task: Path) -> None:
    (task / "trials" / "0" / "final.csv").unlink()
    assert note_run(read(task))[-1] == (
        "Trained by a version that wrote no figures per case of the last epoch, so in no "
        "comparison: 1a (trial 0, seed 0)."
    )


def test_trials_that_were_stopped_early_are_named_in_one_sentence(study_path: Path) -> None:
    run = RunDirectory(study_path.parent / "run")
    study = load_study(study_path, demo=False)
    run.settle_study(study)
    fill(Ledger(study, run.settle_storage(None)), SCORES)
    stopped = [note for note in note_run(read(run.path)) if "Stopped early" in note]
    assert stopped == [
        "Stopped early, so in no comparison: trial 1 after 1 of 3 epochs; "
        "trial 3 after 1 of 3 epochs."
    ]
