from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna._transform import _SearchSpaceTransform

from seglib.seeds import derive_seed
from tests.tune.test_ledger import open_ledger, play, row
from tune.history import History
from tune.strategies import ReplayedCmaEs, SwiftTpe, build_pruner, build_sampler
from tune.study_file import load_study


def propose(path: Path, method: str, number: int) -> list[float]:
    study = load_study(path, (f"method={method}",), demo=False)
    search = optuna.create_study(sampler=build_sampler(study, number))
    return [search.ask().suggest_float("x", 0, 1) for _ in range(3)]


@pytest.mark.parametrize("method", ["bayes", "gp", "cmaes", "random"])
def test_proposal_follows_from_the_number_of_the_trial_alone(study_path: Path, method: str) -> None:
    assert propose(study_path, method, 4) == propose(study_path, method, 4)
    assert propose(study_path, method, 4) != propose(study_path, method, 5)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("bayes", SwiftTpe),
        ("gp", optuna.samplers.GPSampler),
        ("cmaes", ReplayedCmaEs),
        ("random", optuna.samplers.RandomSampler),
    ],
)
def test_method_is_what_it_says(study_path: Path, method: str, kind: type) -> None:
    study = load_study(study_path, (f"method={method}",), demo=False)
    assert type(build_sampler(study, 0)) is kind


def test_tpe_counts_running_trials_and_reads_dependent_knobs_together(study_path: Path) -> None:
    sampler: Any = build_sampler(load_study(study_path, ("method=bayes",), demo=False), 0)
    assert (sampler._constant_liar, sampler._multivariate, sampler._group) == (True, True, True)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("asha", optuna.pruners.SuccessiveHalvingPruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
        ("median", optuna.pruners.MedianPruner),
        ("patience", optuna.pruners.PatientPruner),
        ("none", optuna.pruners.NopPruner),
    ],
)
def test_rule_is_what_it_says(study_path: Path, rule: str, kind: type) -> None:
    study = load_study(study_path, (f"early_terminate={{type: {rule}}}",), demo=False)
    assert type(build_pruner(study)) is kind


def test_asha_looks_where_the_study_says_it_does(study_path: Path) -> None:
    overrides = ("epochs=9", "early_terminate={type: asha, min_iter: 1, eta: 3}")
    study = load_study(study_path, overrides, demo=False)
    search = optuna.create_study(pruner=build_pruner(study), direction="maximize")
    good, looked = search.ask(), []
    for epoch in range(1, 10):
        good.report(1.0, epoch)
        good.should_prune()
    for epoch in range(1, 9):  # at the last epoch the ledger does not ask
        bad = search.ask()
        for step in range(1, epoch + 1):
            bad.report(1.0 if step < epoch else 0.0, step)
            if bad.should_prune():
                looked.append(step)
        search.tell(bad, state=optuna.trial.TrialState.FAIL)
    assert looked == study.rungs() == [1, 3]


def test_replayed_cmaes_is_where_optunas_own_is() -> None:
    study, axes = optuna.create_study(direction="maximize"), ("x", "y")
    for number in range(30):
        study.sampler = own = optuna.samplers.CmaEsSampler(seed=number)
        trial = study.ask()
        study.tell(trial, -sum(trial.suggest_float(name, 1, 9, log=True) for name in axes))
    box = _SearchSpaceTransform(study.trials[0].distributions, transform_0_1=True)
    replayed = ReplayedCmaEs(seed=1)
    replayed._restore_optimizer(study.trials[:-1])
    state: Any = replayed._init_optimizer(box, study.direction)
    wanted: Any = own._restore_optimizer(study.trials)
    assert state.generation == wanted.generation >= 3
    assert np.allclose(state.mean, wanted.mean)
    assert np.allclose(state._C, wanted._C)
    assert not np.allclose(state.mean, 0.5)


@pytest.mark.filterwarnings("ignore:.*experimental feature")
def test_proposals_are_those_of_optuna_from_copies_of_all_trials(study_path: Path) -> None:
    """Ours holds trials as they are and looks at one of each kind: cheaper, and the same."""
    conditional = (
        "parameters.optimizer={values: [adamw, sgd]}",
        "parameters.momentum={min: 0.8, max: 0.99, when: {optimizer: sgd}}",
    )
    ledger = open_ledger(study_path, "run_cap=18", "method=bayes", *conditional)
    while (order := ledger.ask()) is not None:
        if order.number % 6 == 5:  # still at work, and counted as bad for now
            ledger.report(order.number, row(1, 0.5))
        else:
            play(ledger, order, [order.recipe.learning_rate])
    trials = ledger._frozen()
    proposal = History(ledger.file).propose(trials)
    ours = build_sampler(ledger.file, len(trials))
    assert isinstance(ours, optuna.samplers.TPESampler)
    plain = optuna.samplers.TPESampler(
        n_startup_trials=ours._n_startup_trials,
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=derive_seed(ledger.file.seed, "sampler", len(trials)),
    )
    study = optuna.create_study(sampler=plain, direction="maximize")
    history = History(ledger.file)
    for trial in trials:
        study._storage.create_new_trial(study._study_id, history._place(trial))
    assert ledger.file.space.suggest(study.ask()) == proposal.values
    assert len({tuple(trial.distributions) for trial in study.trials}) > 1
