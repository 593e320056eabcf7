"""A search whose space is edited: what still lies in it guides, the rest stays told."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from seglib.recipe import Recipe
from tests.tune.test_ledger import play, row
from tune.announcement import say_kept
from tune.entries import Entry, read_entries
from tune.history import History
from tune.ledger import Ledger
from tune.storage import open_storage, view_storage
from tune.strategies import build_sampler
from tune.study_file import load_study

SPACE = """\
name: edited
method: bayes
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25}
parameters:
  optimizer: {values: [adamw, sgd]}
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  momentum: {min: 0.8, max: 0.99, when: {optimizer: sgd}}
  base_filters: {values: [2, 4]}
  dropout: {distribution: normal, mu: 0.3, sigma: 0.1}
  depth: {value: 2}
  epochs: {value: 3}
early_terminate: {type: asha, min_iter: 1, eta: 2}
tracking: {wandb: off}
"""
EDITS = {
    "choice added": ("values: [2, 4]", "values: [2, 4, 8]"),
    "choice removed": ("values: [adamw, sgd]", "values: [sgd]"),
    "choice renamed": ("values: [adamw, sgd]", "values: [adam, sgd]"),
    "choices replaced": ("values: [2, 4]", "values: [8, 16]"),
    "choices to a range": ("values: [2, 4]", "min: 2, max: 6"),
    "choices weighed": ("values: [2, 4]", "values: [2, 4], probabilities: [0.2, 0.8]"),
    "range widened": ("min: 1e-4, max: 1e-2", "min: 1e-5, max: 1e-1"),
    "range narrowed": ("min: 1e-4, max: 1e-2", "min: 5e-4, max: 2e-3"),
    "range moved away": ("min: 1e-4, max: 1e-2", "min: 1e-6, max: 1e-5"),
    "range straightened": ("distribution: log_uniform_values, min: 1e-4", "min: 1e-4"),
    "range to choices": ("min: 0.8, max: 0.99", "values: [0.8, 0.9]"),
    "curve moved": ("mu: 0.3", "mu: 0.4"),
    "parameter added": ("  depth:", "  weight_decay: {min: 0, max: 0.1}\n  depth:"),
    "parameter removed": ("  base_filters: {values: [2, 4]}\n", ""),
    "parameter fixed": ("{values: [2, 4]}", "{value: 2}"),
    "parameter freed": ("depth: {value: 2}", "depth: {values: [1, 2]}"),
    "condition dropped": (", when: {optimizer: sgd}", ""),
    "condition moved": ("when: {optimizer: sgd}", "when: {base_filters: 4}"),
    "condition added": ("normal, mu: 0.3", "normal, when: {optimizer: adamw}, mu: 0.3"),
    "epochs raised": ("epochs: {value: 3}", "epochs: {value: 5}"),
    "nothing": ("name: edited", "name: edited"),
}


BLANK = optuna.create_trial(state=TrialState.FAIL)


def done(learning_rate: float, base_filters: int, score: float) -> FrozenTrial:
    recipe = Recipe(learning_rate=learning_rate, base_filters=base_filters, depth=2, epochs=3)
    attrs = {"recipe": recipe.model_dump()}
    return optuna.create_trial(state=TrialState.COMPLETE, value=score, user_attrs=attrs)


class Search:
    """A search whose study file is edited between two starts; nothing is really trained."""

    def __init__(self, folder: Path, method: str = "bayes", *, on_disk: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.path, self.journal = folder / "edited.yaml", folder / "journal.log"
        self.text = SPACE.replace("method: bayes", f"method: {method}")
        self.memory, self.on_disk = InMemoryStorage(), on_disk

    def open(self, cap: int) -> Ledger:
        self.path.write_text(self.text)
        study = load_study(self.path, (f"run_cap={cap}",), demo=False)
        return Ledger(study, open_storage(self.journal) if self.on_disk else self.memory)

    def edit(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)

    def run(self, cap: int) -> Ledger:
        ledger = self.open(cap)
        while (order := ledger.ask()) is not None:
            score = 1 / (1 + abs(math.log10(order.recipe.learning_rate) + 3))
            play(ledger, order, [score])
        return ledger

    def entries(self) -> list[Entry]:
        return read_entries("edited", self.look())

    def look(self) -> BaseStorage:
        return view_storage(self.journal) if self.on_disk else self.memory


def told_to_sampler(ledger: Ledger) -> list[Any]:
    """The trials that guide the next proposal."""
    history = History(ledger.file)
    placed = [history._place(trial) for trial in ledger._frozen()]
    return [trial for trial in placed if trial.state != TrialState.FAIL]


@pytest.mark.fault("edited")
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_search_goes_on_and_keeps_what_it_had(edit: tuple[str, str], tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.run(5)
    before = search.entries()
    search.edit(*edit)
    ledger = search.run(8)
    entries = search.entries()
    assert entries[:5] == before
    assert [entry.number for entry in entries] == list(range(8))
    assert all(ledger.file.space.contains(entry.values) for entry in entries[5:])


@pytest.mark.parametrize("method", ["random", "bayes", "gp", "cmaes"])
def test_every_method_goes_on_in_an_edited_space(method: str, tmp_path: Path) -> None:
    search = Search(tmp_path, method, on_disk=True)
    search.run(5)
    for name in ("choice added", "range widened", "curve moved", "condition dropped"):
        search.edit(*EDITS[name])
    search.run(8)
    study = optuna.load_study(study_name="edited", storage=search.look())
    assert len(study.trials) == 8
    assert all(trial.params == trial.user_attrs["values"] for trial in study.trials)
    shared = optuna.search_space.intersection_search_space(study.trials)  # as the dashboard does
    assert {"learning_rate", "base_filters", "dropout"} < set(shared)


@pytest.mark.parametrize("method", ["bayes", "cmaes"])
def test_edited_search_is_the_same_when_done_twice_and_when_it_dies(
    method: str, tmp_path: Path
) -> None:
    found = []
    for name, caps in (("once", (12,)), ("again", (12,)), ("dying", range(7, 13))):
        search = Search(tmp_path / name, method)
        search.run(6)
        search.edit(*EDITS["choice added"])
        for cap in caps:
            search.run(cap)
        found.append([entry.values for entry in search.entries()])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("edit", "outside"),
    [
        *(("nothing", 0), ("choice added", 0), ("range widened", 0), ("curve moved", 0)),
        *(("choices replaced", 6), ("range moved away", 6), ("epochs raised", 0)),
        *(("parameter added", 0), ("parameter freed", 0)),
    ],
)
def test_what_lies_outside_is_counted_and_does_not_guide(
    edit: str, outside: int, tmp_path: Path
) -> None:
    search = Search(tmp_path)
    search.run(6)
    search.edit(*EDITS[edit])
    ledger = search.open(20)
    assert ledger.num_outside == outside
    assert len(told_to_sampler(ledger)) == 6 - outside


def test_trial_is_outside_when_nothing_in_the_space_trains_its_recipe(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.run(10)
    wide = [entry for entry in search.entries() if entry.values["base_filters"] == 4]
    search.edit(*EDITS["parameter fixed"])
    assert search.open(20).num_outside == len(wide) > 0
    search.edit("{value: 2}", "{values: [2, 4]}")
    assert search.open(20).num_outside == 0


def test_trials_outside_are_told_of(tmp_path: Path) -> None:
    search, console = Search(tmp_path), Console(file=io.StringIO(), width=100)
    search.run(3)
    search.edit(*EDITS["range moved away"])
    say_kept(search.open(9), console)
    assert "3 trials lie outside the new space" in console.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_guides_a_random_search(tmp_path: Path) -> None:
    search = Search(tmp_path, "random")
    search.run(5)
    search.edit(*EDITS["range moved away"])
    assert search.open(10).num_outside == 0


def test_history_is_told_in_terms_of_the_new_space(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.run(6)
    search.edit(*EDITS["choice added"])
    search.edit(*EDITS["range straightened"])
    ledger = search.open(20)
    for trial, entry in zip(told_to_sampler(ledger), search.entries(), strict=True):
        assert trial.params["learning_rate"] == entry.values["learning_rate"]
        assert not trial.distributions["learning_rate"].log
        assert trial.distributions["base_filters"].choices == (2, 4, 8)
        assert ("momentum" in trial.params) == (entry.values["optimizer"] == "sgd")
        assert trial.intermediate_values == {r["epoch"]: r["score"] for r in entry.rows}


def test_proposals_are_as_if_the_space_had_always_been_so(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.edit("{values: [2, 4]}", "{value: 2}")
    search.edit("  optimizer: {values: [adamw, sgd]}\n", "")
    search.edit("  momentum: {min: 0.8, max: 0.99, when: {optimizer: sgd}}\n", "")
    search.edit("  dropout: {distribution: normal, mu: 0.3, sigma: 0.1}\n", "")
    before = History(search.open(100).file)
    rates = [before.propose([BLANK] * n).values["learning_rate"] for n in range(40)]
    ledger = optuna.create_study(direction="maximize")
    ledger.add_trials([done(r, b, -abs(math.log10(r / 2e-4))) for r in rates for b in (2, 4)])
    trials = ledger.trials
    search.edit(*EDITS["range widened"])
    search.edit("base_filters: {value: 2}", "base_filters: {values: [2, 4, 8]}")
    file = search.open(100).file
    space: dict[str, Any] = {
        "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
        "base_filters": CategoricalDistribution((2, 4, 8)),
    }
    fresh = optuna.create_study(direction="maximize", sampler=build_sampler(file, len(trials)))
    for trial in trials:
        params = {name: trial.user_attrs["recipe"][name] for name in space}
        fresh.add_trial(optuna.create_trial(value=trial.value, params=params, distributions=space))
    found = History(file).propose(trials).values
    assert {name: found[name] for name in space} == fresh.ask(space).params
    assert found != History(file).propose([BLANK] * len(trials)).values


def test_unfinished_trial_outside_the_new_space_is_trained_to_its_end(tmp_path: Path) -> None:
    search = Search(tmp_path)
    ledger = search.open(4)
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, 0.5))
    search.edit(*EDITS["choices replaced"])
    assert search.open(4).ask() == replace(order, num_reported=1)


def test_what_waits_is_planned_anew_when_it_no_longer_fits(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.edit(
        "early_terminate", "points: [{base_filters: 4}, {base_filters: 2}]\nearly_terminate"
    )
    search.open(9)
    search.edit("points: [{base_filters: 4}, {base_filters: 2}]", "points: [{base_filters: 8}]")
    search.edit(*EDITS["choices replaced"])
    search.run(4)
    entries = search.entries()
    assert [entry.origin for entry in entries] == ["default", "point", "sampler", "sampler"]
    assert all(entry.values["base_filters"] in (8, 16) for entry in entries)


def test_death_between_the_proposal_and_its_start_loses_nothing(tmp_path: Path) -> None:
    searches = [Search(tmp_path / name, on_disk=True) for name in ("undisturbed", "dying")]
    for search in searches:
        search.run(6)
    whole = searches[1].journal.read_bytes()
    order = searches[1].open(7).ask()
    assert order is not None
    lines = searches[1].journal.read_bytes().removeprefix(whole).splitlines(keepends=True)
    assert len(lines) >= 3  # added, started, its recipe
    for kept in range(len(lines) + 1):
        searches[1].journal.write_bytes(whole + b"".join(lines[:kept]))
        assert searches[1].open(7).ask() == order


def test_running_trials_are_known_to_the_sampler(tmp_path: Path) -> None:
    search = Search(tmp_path)
    ledger = search.run(6)
    ledger = search.open(9)
    running = ledger.ask()
    assert running is not None
    assert told_to_sampler(ledger)[-1].state == TrialState.RUNNING
    assert told_to_sampler(ledger)[-1].params["base_filters"] == running.recipe.base_filters


def test_no_pickle_is_kept_of_a_sampler(tmp_path: Path) -> None:
    search = Search(tmp_path, "cmaes")
    search.edit("{type: asha, min_iter: 1, eta: 2}", "{type: none}")
    search.run(12)
    study = optuna.load_study(study_name="edited", storage=search.look())
    attrs = [trial.system_attrs for trial in study.trials]
    assert max(one.get("cma:generation", 0) for one in attrs) >= 1
    assert {key for one in attrs for key in one if key.startswith("cma:")} == {"cma:generation"}
