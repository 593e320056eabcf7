"""Ledger: the one memory of a search, an Optuna study in a storage that outlives every process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError

from seglib.recipe import Recipe
from tune.agenda import Planned, add_extension, add_trial, settle_agenda
from tune.entries import NAMES, Entry, EntryReader, require_ours
from tune.history import History
from tune.one_writer import spare_reading
from tune.strategies import build_pruner
from tune.study_file import StudyFile
from tune.study_parts import Fold
from tune.teller import Tally, Teller

__all__ = ["Entry", "Ledger", "Order"]

MOST_INFEASIBLE_IN_A_ROW = 200

Row = Mapping[str, float]


@dataclass(frozen=True)
class Order:
    """A trial to run, or to go on with.

    Args:
        number: The trial's number in the study.
        recipe: What to train.
        seed: Of this trial.
        num_reported: Epochs that the ledger already holds.
        fold: Which fold validates; None for the split's own parts.
    """

    number: int
    recipe: Recipe
    seed: int
    num_reported: int
    fold: Fold | None = None


class Ledger:
    """Ask what to train, report epochs, tell how it ended. Everything survives the process.

    Args:
        study: The study file.
        storage: Where the memory lies, from :func:`tune.storage.open_storage`.
        infeasible: Tells why a recipe cannot run here; an empty text when it can.
    """

    def __init__(
        self,
        study: StudyFile,
        storage: BaseStorage,
        infeasible: Callable[[Recipe], str] = lambda recipe: "",
    ) -> None:
        self.file = study
        self._infeasible = infeasible
        self._maximize = study.metric.goal == "maximize"
        self._study = _open_study(study, storage)
        require_ours(self._frozen())
        if "uid" not in self._study.user_attrs:
            self._study.set_user_attr("uid", secrets.token_hex(4))
        self.uid: str = self._study.user_attrs["uid"]
        self._clock = time.monotonic()
        self._spent_before_s = float(self._study.user_attrs.get("spent_s", 0.0))
        settle_agenda(self._study, study)
        self._history = History(study)
        self._teller = Teller(maximize=self._maximize)
        self._entries = EntryReader(self._study.user_attrs.get(NAMES, {}))
        self._unfinished: list[int] = []
        self.take_up_unfinished()

    def ask(self) -> Order | None:
        """The next trial: first those a death left unfinished, then points, then new proposals.

        Returns:
            The order, or None when the grid, the cap or the budget is used up.
        """
        while self._unfinished:
            order = self._order(self._trial(self._unfinished.pop(0)))
            if order is not None:
                return order
        for _ in range(MOST_INFEASIBLE_IN_A_ROW):
            trials = self._frozen()
            tally = self._teller.count(trials)
            if not self._may_start(tally):
                return None
            if not tally.waiting:
                proposal = self._history.propose(trials)
                add_trial(self._study, Planned("sampler", proposal.values), proposal.notes)
            order = self._order(self._study.ask())
            if order is not None:
                return order
        return None

    def has_more(self) -> bool:
        """Could :meth:`ask` give an order? Unlike ``ask`` this changes nothing."""
        return bool(self._unfinished) or self._may_start(self._teller.count(self._frozen()))

    def report(self, number: int, row: Row) -> bool:
        """Record an epoch; True means that the trial shall stop early.

        An epoch that is already known changes nothing, so a trial that repeats
        itself after a death does no harm.

        Args:
            number: The trial.
            row: Flat numbers with at least ``epoch`` and ``score``.

        Returns:
            Shall the trial stop?
        """
        trial = self._trial(number)
        epoch = int(row["epoch"])
        known = self._storage_trial(number)
        if known.state.is_finished():
            return True
        if epoch not in known.intermediate_values:
            trial.set_user_attr(f"row/{epoch}", dict(row))
            trial.report(float(row["score"]), step=epoch)
        last_rung = self.file.early_terminate.max_iter
        if epoch >= min(int(known.user_attrs["recipe"]["epochs"]), last_rung or epoch + 1):
            return False
        if "extends" in known.user_attrs:  # asked for by name, and others were not so trained
            return False
        # The pruner is asked even of the default recipe, which runs to its end so that the
        # leaderboard can say what tuning gained: others are measured against its rungs.
        stop = trial.should_prune() and known.user_attrs.get("origin") != "default"
        if stop:
            trial.set_user_attr("stopped_at", epoch)
        return stop

    def finish(self, number: int, failure: str = "") -> None:
        """Tell how a trial ended: stopped early, complete, or failed for a reason.

        Args:
            number: The trial.
            failure: Why it failed; empty when it did not.
        """
        known = self._storage_trial(number)
        if known.state.is_finished():
            return
        spent = self._spent_before_s + time.monotonic() - self._clock
        self._study.set_user_attr("spent_s", round(spent, 1))
        if failure:
            self._trial(number).set_user_attr("reason", failure)
            self._study.tell(number, state=TrialState.FAIL)
        elif "stopped_at" in known.user_attrs:
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            scores = known.intermediate_values.values()
            best = max(scores) if self._maximize else min(scores)
            self._study.tell(number, best)

    def take_up_unfinished(self) -> None:
        """Give out again what a death left running; tell of what was stopped but not told.

        A trial whose epochs are all known is given out, too: what it writes at its end
        may be missing.
        """
        self._unfinished = []
        for trial in self._frozen():
            if trial.state != TrialState.RUNNING:
                continue
            if "stopped_at" in trial.user_attrs:
                self.finish(trial.number)
            else:
                self._unfinished.append(trial.number)

    def extend(self, number: int, epochs: int) -> int:
        """Let a complete trial go on to more epochs, as a new trial. No cap counts it.

        Args:
            number: The complete trial; it stays what it is.
            epochs: How long to train, in all.

        Returns:
            The new trial's number.
        """
        added = add_extension(self._study, self._storage_trial(number), epochs)
        self._unfinished.append(added)
        return added

    def take_up(self, number: int) -> None:
        """Give one trial out again, before any new one: its process died.

        Args:
            number: A trial that was given out and has not ended.
        """
        self._unfinished.append(number)

    def entries(self) -> list[Entry]:
        """All trials so far, by number."""
        return self._entries.read(self._frozen())

    def entry(self, number: int) -> Entry:
        """One trial."""
        return self._entries.read_one(self._storage_trial(number))

    def recipe(self, number: int) -> Recipe:
        """What a started trial trains."""
        return Recipe(**self._storage_trial(number).user_attrs["recipe"])

    @property
    def num_started(self) -> int:
        """Trials that count against the cap: no proposals that cannot fit, no extensions."""
        return self._teller.count(self._frozen()).started

    @property
    def num_outside(self) -> int:
        """Trials that an edit of the space left outside; they no longer guide the search."""
        return self._history.num_outside(self._frozen())

    @property
    def num_planned(self) -> int | None:
        """Trials in all; None when only the budget ends the search."""
        extended = sum("extends" in trial.user_attrs for trial in self._frozen())
        return None if self.file.num_planned is None else self.file.num_planned + extended

    def is_better(self, score: float, other: float) -> bool:
        """Is ``score`` better than ``other`` by the study's goal?"""
        return score > other if self._maximize else score < other

    def _may_start(self, tally: Tally) -> bool:
        if self.file.method == "grid" and not tally.waiting:
            return False
        if self.file.run_cap is not None and tally.started >= self.file.run_cap:
            return False
        if self._is_target_reached(tally.best_score):
            return False
        budget = self.file.budget
        spent_s = self._spent_before_s + time.monotonic() - self._clock
        if budget.hours is not None and spent_s >= budget.hours * 3600:
            return False
        return budget.epochs is None or tally.epochs < budget.epochs

    def _is_target_reached(self, best: float | None) -> bool:
        wanted = self.file.metric.target
        if wanted is None or best is None:
            return False
        return best == wanted or self.is_better(best, wanted)

    def _order(self, trial: Trial) -> Order | None:
        known = self._storage_trial(trial.number)
        attrs = known.user_attrs
        try:
            recipe = Recipe(**(attrs.get("recipe") or attrs.get("values", known.params)))
            reason = self._infeasible(recipe)
        except ValidationError as error:
            reason = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        if reason:
            trial.set_user_attr("infeasible", True)
            self.finish(trial.number, f"infeasible: {reason}")
            return None
        if "recipe" not in attrs:
            trial.set_user_attr("recipe", recipe.model_dump())
        seed = self.file.trial_seed(self._first_of(known).number, attrs.get("seed"))
        known_rows = len(known.intermediate_values)
        return Order(trial.number, recipe, seed, known_rows, attrs.get("fold"))

    def _first_of(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with which an extended one began."""
        while "extends" in trial.user_attrs:
            trial = self._storage_trial(trial.user_attrs["extends"])
        return trial

    def _frozen(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _storage_trial(self, number: int) -> FrozenTrial:
        storage, study = self._study._storage, self._study._study_id
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study, number))

    def _trial(self, number: int) -> Trial:
        return Trial(self._study, self._storage_trial(number)._trial_id)


def _open_study(study: StudyFile, storage: BaseStorage) -> optuna.Study:
    """Optuna's study; made if it is not there, and else opened without a word written."""
    names: dict[str, Any] = {"storage": spare_reading(storage), "study_name": study.name}
    # Proposals are made by History, from a copy: Optuna shall never sample from the storage.
    sampler = optuna.samplers.RandomSampler()
    rules: dict[str, Any] = {"sampler": sampler, "pruner": build_pruner(study)}
    try:
        return optuna.load_study(**names, **rules)
    except KeyError:
        return optuna.create_study(**names, **rules, direction=study.metric.goal)
