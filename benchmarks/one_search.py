"""One search in this process, as `peer_search.py` has it done: by ours, by Ray Tune, by Optuna.

    python benchmarks/one_search.py KIND FOLDER TRIALS

Writes FOLDER/told.json: when each epoch was told, by the monotonic clock, and its score. What
the kinds are is said in peer_search.py.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BRATS = ROOT / "searchspaces" / "brats.yaml"
AT_ONCE = 2

Told = list[tuple[float, float]]
"""When an epoch was told, by the monotonic clock, and its score."""


def study_of(trials: int) -> Any:
    from tune.study_file import load_study

    return load_study(BRATS, (f"run_cap={trials}",), demo=True)


def fit_epochs(values: dict[str, Any], folder: str, seed: int) -> Any:
    """The training that all share."""
    import torch

    from seglib.allocator import keep_freed_memory
    from seglib.data.splits import Splits
    from seglib.data.store import Store
    from seglib.fit import fit
    from seglib.recipe import Recipe

    torch.set_num_threads(1)
    keep_freed_memory()
    store = Store.open(next(Path(folder).glob(".cache/stores/*")))
    split = Splits.load(Path(folder) / "brats-demo" / "splits.json").search_part()
    return fit(Recipe(**values), store, split, seed=seed)


def search_ours(folder: str, trials: int) -> Told:
    from rich.console import Console

    from tune import tracking
    from tune.request import Request
    from tune.run import run_search

    told: Told = []

    class Clock:
        def started(self, order: Any) -> None: ...
        def finished(self, number: int) -> None: ...
        def close(self) -> None: ...
        def reported(self, number: int, row: dict[str, float]) -> None:
            told.append((time.monotonic(), row["score"]))

    build = tracking.build_trackers
    tracking.build_trackers = lambda *about: [*build(*about), Clock()]
    with tempfile.TemporaryDirectory() as out:
        settings = {"overrides": (f"run_cap={trials}",), "cache": Path(folder) / ".cache"}
        request = Request(BRATS, out=Path(out), **settings)
        assert run_search(request, Console(file=sys.stderr)) == 0
    return told


def search_tune(folder: str, trials: int, *, our_rungs: bool) -> Told:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from tune.agenda import list_planned

    study = study_of(trials)
    rungs = study.early_terminate

    def train(config: dict[str, Any]) -> None:
        for epoch in fit_epochs(config, folder, seed=study.seed):
            with tempfile.TemporaryDirectory() as scratch:
                epoch.save(Path(scratch) / "last.pt")
                checkpoint = tune.Checkpoint.from_directory(scratch)
                figures = {"dice": epoch.score, "at": time.monotonic()}
                tune.report(figures, checkpoint=checkpoint)

    settings = {"grace_period": rungs.min_iter, "reduction_factor": rungs.eta} if our_rungs else {}
    search = OptunaSearch(
        study.space.suggest,
        metric="dice",
        mode="max",
        points_to_evaluate=[one.values for one in list_planned(study)],
    )
    with tempfile.TemporaryDirectory() as scratch:
        tuner = ray_tuner(
            train,
            scratch,
            search_alg=search,
            scheduler=ASHAScheduler(metric="dice", mode="max", **settings),
            num_samples=trials,
        )
        results = tuner.fit()
        tables = [one.metrics_dataframe for one in results]
    return [pair for table in tables for pair in zip(table["at"], table["dice"], strict=True)]


def ray_tuner(
    train: Callable[[dict[str, Any]], None],
    scratch: str,
    *,
    space: dict[str, Any] | None = None,
    callbacks: list[Any] | None = None,
    **settings: Any,
) -> Any:
    """A Tuner and a Ray with their defaults; only where they write is told."""
    import ray
    from ray import tune

    ray.init(address="local", num_cpus=AT_ONCE, _temp_dir=f"{scratch}/ray")
    return tune.Tuner(
        train,
        param_space=space,
        tune_config=tune.TuneConfig(**settings),
        run_config=tune.RunConfig(storage_path=f"{scratch}/results", callbacks=callbacks),
    )


def search_optuna(folder: str, trials: int, *, two: bool) -> Told:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from tune.agenda import list_planned

    with tempfile.TemporaryDirectory() as scratch:
        journal = f"{scratch}/journal.log"
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(journal)), direction="maximize"
        )
        for one in list_planned(study_of(trials)):
            study.enqueue_trial(one.values)
        if not two:
            optimize(folder, trials, journal)
        else:
            spawn = multiprocessing.get_context("spawn")
            workers = [
                spawn.Process(target=optimize, args=(folder, share, journal))
                for share in (trials // 2, trials - trials // 2)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
        return [pair for trial in study.trials for pair in trial.user_attrs["told"]]


def optimize(folder: str, trials: int, journal: str) -> None:
    """One process of Optuna's and its share of the trials."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    space, seed = study_of(trials).space, study_of(trials).seed

    def objective(trial: Any) -> float:
        told: Told = []
        with tempfile.TemporaryDirectory() as scratch:
            for epoch in fit_epochs(space.suggest(trial), folder, seed=seed):
                epoch.save(Path(scratch) / "last.pt")
                told.append((time.monotonic(), epoch.score))
                trial.set_user_attr("told", told)
                trial.report(epoch.score, epoch.number)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return told[-1][1]

    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(journal)))
    study.optimize(objective, n_trials=trials)


def empty_tune(trials: int, *, reuse: bool) -> Told:
    from ray import tune

    def train(config: dict[str, Any]) -> None:
        tune.report({"dice": config["x"]})

    ends: Told = []

    class Clock(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **more: Any) -> None:
            ends.append((time.monotonic(), 0.0))

    with tempfile.TemporaryDirectory() as scratch:
        ray_tuner(
            train,
            scratch,
            callbacks=[Clock()],
            space={"x": tune.uniform(0, 1)},
            num_samples=trials,
            reuse_actors=reuse,
            max_concurrent_trials=1,
        ).fit()
    return ends


def empty_ours(trials: int) -> Told:
    from executor import run  # beside this file

    with tempfile.TemporaryDirectory() as scratch:
        meter, _ = run(trials, "bayes", Path(scratch), concurrent=1)
    return [(at, 0.0) for at in meter.wall_s]


def prepare(folder: str) -> Told:
    """The demo's data and its split, by a search of one trial."""
    from rich.console import Console

    from tune.request import Request
    from tune.run import run_search

    short = ("run_cap=1", "epochs=1", "early_terminate.type=none")
    request = Request(BRATS, out=Path(folder), overrides=short, report=False)
    assert run_search(request, Console(file=sys.stderr)) == 0
    return []


def search(kind: str, folder: str, trials: int) -> Told:
    if kind == "prepare":
        return prepare(folder)
    if kind.endswith("empty"):
        reuse = "reusing" in kind
        return empty_ours(trials) if "ours" in kind else empty_tune(trials, reuse=reuse)
    if kind.startswith("tune"):
        return search_tune(folder, trials, our_rungs="rungs" in kind)
    if kind.startswith("optuna"):
        return search_optuna(folder, trials, two="2" in kind)
    return search_ours(folder, trials)


if __name__ == "__main__":
    kind, folder, trials = sys.argv[1:]
    told = search(kind, folder, int(trials))
    (Path(folder) / "told.json").write_text(json.dumps(told))
