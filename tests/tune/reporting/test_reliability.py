from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from seglib.data.store import Store
from tests.tune.reporting.runs import DIVERGES, epoch_row
from tune.ledger import Ledger
from tune.reporting.evidence import RunData, gather
from tune.reporting.reliability import Event, log_reliability
from tune.run_directory import RunDirectory
from tune.study_file import load_study


def read(run: Path) -> RunData:
    (data,) = gather(run)
    return data


def test_run_without_a_fault_has_an_empty_log(task: Path) -> None:
    log = log_reliability(read(task))
    assert log.events == ()
    assert {count for _, count in log.counts} == {0}


def test_smaller_batches_are_told_once_for_each_time_that_memory_ran_out(search: RunData) -> None:
    point = search.points[0]
    sizes = (8, 4, 4, 2)
    rows = [epoch_row(n, 0.5) | {"micro_batch": s} for n, s in enumerate(sizes, start=1)]
    entry = replace(point.trials[0].entry, rows=rows, recipe={"batch_size": 8, "epochs": 4})
    trial = replace(point.trials[0], entry=entry)
    log = log_reliability(replace(search, points=(replace(point, trials=(trial,)),)))
    assert dict(log.counts)["memory ran out, smaller batches"] == 2
    assert [event.text for event in log.events if event.kind == "memory"] == [
        "Epoch 2: out of memory, trained on 4 at a time.",
        "Epoch 4: out of memory, trained on 2 at a time.",
    ]
    noted = replace(trial, note="epoch 2: out of memory, trained on 4 at a time\n")
    log = log_reliability(replace(search, points=(replace(point, trials=(noted,)),)))
    assert sum(event.kind == "memory" for event in log.events) == 1


def test_diverged_trial_of_a_search_is_in_its_log(search: RunData) -> None:
    place = f"trial {DIVERGES}"
    text = "Failed after 0 of 3 epochs: Diverged: epoch 1: loss nan."
    assert Event("diverged", place, text) in log_reliability(search).events


def test_failure_restart_and_skipped_steps_are_told(partial: Path, store: Store) -> None:
    run = RunDirectory(partial)
    run.write_environment(store)
    starts = json.loads(run.environment.read_text())["starts"]
    starts[-1]["versions"]["torch"] = "9.9"
    starts[-1]["commit"] = "0123456789abcdef"
    starts[0]["auto_precision"], starts[-1]["auto_precision"] = "bf16", "fp32"
    run.environment.write_text(json.dumps({"starts": starts}))
    ledger = Ledger(load_study(run.study, demo=False), run.settle_storage(None))
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, epoch_row(2, 0.4) | {"skipped_steps": 2})
    ledger.finish(order.number, "diverged: epoch 3: loss nan")
    notes_file = partial / "trials" / "0" / "notes.txt"
    notes_file.write_text("the last checkpoint was damaged\n")
    log = log_reliability(read(partial))
    told = {(event.kind, event.place, event.text) for event in log.events}
    name = "2b (trial 3, seed 0)"
    for said in (
        ("restart", "search", "The search was started 2 times and went on each time."),
        ("diverged", name, "Failed after 2 of 3 epochs: Diverged: epoch 3: loss nan."),
        ("skipped", name, "Skipped 2 training steps that were not finite."),
        ("checkpoint", "1a (trial 0, seed 0)", "The last checkpoint was damaged."),
    ):
        assert said in told
    texts = [event.text for event in log.events if event.kind == "change"]
    assert any(text.startswith("torch changed between starts: ") for text in texts)
    assert any(text.startswith("The source changed between starts: ") for text in texts)
    assert "The number format of precision auto changed between starts: bf16 → fp32." in texts
    counts = dict(log.counts)
    assert counts["restarts of the search"] == 1
    assert counts["trials diverged"] == 1
    assert counts["training steps not finite, skipped"] == 2
    assert counts["trials failed otherwise"] == 0
