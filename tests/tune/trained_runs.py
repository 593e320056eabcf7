"""Run directories with networks in them: what a search leaves, trained here without Ray."""

from __future__ import annotations

from pathlib import Path

from seglib.data.store import Store
from tune.division import list_folds
from tune.executor import Job
from tune.ledger import Ledger
from tune.report_writer import ReportWriter
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.trial import ROW, run_trial


def train_run(folder: Path, store: Store, study_path: Path, *words: str) -> RunDirectory:
    """Train all that a study asks for, one trial after the other, each to its end.

    The store must be that of the study's data.
    """
    study = load_study(study_path, words, demo=False)
    run = RunDirectory(folder)
    with run.locked():
        run.settle_study(study)
        ledger = Ledger(study, run.settle_storage(None))
        splits = run.settle_splits(store, study)
        run.write_environment(store, where={"cache": str(store.path.parents[1])})
        job = Job(run_dir=run.path, store=store.path, split=splits.search_part(),
                  folds=list_folds(splits, study))  # fmt: skip
        writer = ReportWriter(ledger, run)
        while order := ledger.ask():
            number = order.number

            def report(told, number=number) -> None:
                if ROW in told:
                    ledger.report(number, told[ROW])

            writer.started(order)
            run_trial(job.config(order, ledger), report)
            ledger.finish(number)
        writer.write()
    return run
