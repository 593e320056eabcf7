"""Assembly: checkpoints of a run, put together to a model that needs the run no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Split, Splits, rows_of
from seglib.data.store import Store
from seglib.errors import DataError, Problem, RunError
from seglib.files import checksum
from seglib.image_digests import digest_cases
from seglib.model import InputSpec, Member, Model, PostProcess
from seglib.recipe import Recipe
from tune.card import CardParts, write_card
from tune.division import list_folds
from tune.picked import Picked, Picks
from tune.prepared_store import find_store

__all__ = ["Assembly"]

FORMAT = 2
"""Raised when the same checkpoints would make another model."""


@dataclass(frozen=True)
class Assembly:
    """The networks that were picked of a run, and what the run tells of them.

    Args:
        picks: The networks.
    """

    picks: Picks

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The search's record of its last start."""
        return (self.picks.folder.starts() or [{}])[-1]

    @property
    def data(self) -> Mapping[str, Any]:
        """The search's record of its data."""
        found: Mapping[str, Any] = self.start.get("data", {})
        return found

    @cached_property
    def store(self) -> Store | None:
        """The prepared data, if they are still there."""
        return find_store(self.picks.folder.path, self.start)

    @cached_property
    def splits(self) -> Splits | None:
        """How the patients were divided, if that is still known."""
        path = self.picks.folder.splits
        return Splits.load(path) if path.exists() else None

    def split_of(self, one: Picked) -> Split | None:
        """Who trained and who validated one of the networks.

        Args:
            one: The network.

        Returns:
            The two parts, or None where the division is lost.
        """
        if self.splits is None:
            return None
        if one.fold is None:
            return self.splits.search_part()
        try:
            return list_folds(self.splits, self.picks.study).get(one.fold)
        except DataError:  # the study was edited since
            return None

    @cached_property
    def inputs(self) -> InputSpec:
        """What the networks see and find: of the prepared data, or as the search noted it."""
        if self.store is not None:
            return InputSpec.of(self.store.info)
        names = InputSpec.model_fields
        try:
            return InputSpec(**{name: self.data[name] for name in names if name in self.data})
        except ValidationError:
            hint = "the search's own command makes them again"
            problem = Problem("prepared data", "nothing", "those that it trained on", hint)
            raise RunError(str(self.picks.folder.path), [problem]) from None

    @cached_property
    def key(self) -> str:
        """The same for networks of the same content; SHA-256, 16 digits."""
        files = [checksum(one.checkpoint) for one in self.picks.networks]
        parts = [FORMAT, self.picks.kind, files, self.inputs.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def can_tune(self) -> bool:
        """Are validation cases still known and there, which no network has trained on?"""
        seen = any(one.fold == "all" for one in self.picks.networks)
        return self.store is not None and self.splits is not None and not seen

    def model(self) -> Model:
        """The model, its post-processing not tuned.

        Returns:
            The networks and the card.

        Raises:
            CheckpointError: A file is damaged.
            RunError: Nobody knows any more what the networks' input was.
        """
        members, notes = [], []
        for one in self.picks.networks:
            state, _ = load_checkpoint(one.checkpoint)
            recipe = Recipe.model_validate_json(state["recipe"])
            note = self._note(one, recipe, state)
            notes.append(note)
            members.append(Member(recipe, state["model"], self._name(note)))
        post = PostProcess.plain(self.inputs.target)
        model = Model(tuple(members), self.inputs, post, self._card(notes, post.note))
        return replace(model, card={**model.card, "images": self._digests(model.seen_channels)})

    def with_post(self, model: Model, post: PostProcess, *, tuned: bool) -> Model:
        """The same model with other post-processing, on its card, too.

        Args:
            model: From :meth:`model`.
            post: Tuned, or carried over.
            tuned: Was it?

        Returns:
            The model.
        """
        card = {**model.card, "post_processing": post.note, "tuned": tuned}
        return replace(model, post=post, card=card)

    def _note(self, one: Picked, recipe: Recipe, state: Mapping[str, Any]) -> dict[str, Any]:
        last = state["rows"][-1]
        seen = one.fold == "all"
        scored = {} if seen else {"score": last["score"], "cases": int(last["num_cases"])}
        return {
            "trial": one.trial,
            "fold": one.fold,
            "epoch": int(last["epoch"]),
            "epochs": recipe.epochs,
            "seed": state["seed"],
            **scored,
        }

    def _name(self, note: Mapping[str, Any]) -> str:
        study = self.picks.study
        parts = [study.name if note["trial"] is None else f"trial {note['trial']} of {study.name}"]
        if note["fold"] is not None:
            parts.append(f"fold {note['fold']}")
        parts.append(f"epoch {note['epoch']} of {note['epochs']}")
        if "score" in note:
            parts.append(f"{study.metric.name} {note['score']:.4f}")
        return ", ".join(parts)

    def _card(self, notes: list[dict[str, Any]], post: str) -> dict[str, Any]:
        parts = [self.split_of(one) for one in self.picks.networks]
        card = write_card(
            CardParts(
                study=self.picks.study,
                data={**self.data, "normalise": self.inputs.normalise},
                start=self.start,
                splits=self.splits,
                parts=[part for part in parts if part is not None],
                members=notes,
                kind=self.picks.kind,
                score=self._score(notes),
                post=post,
            )
        )
        return {**card, "tuned": False, "content": self.key}

    def _digests(self, channels: Sequence[str]) -> dict[str, list[str]]:
        """An image of each case, so that another name does not hide what was trained on."""
        store, splits = self.store, self.splits
        if store is None or splits is None:
            return {}
        parts = [self.split_of(one) for one in self.picks.networks]
        train = {name for part in parts if part is not None for name in part.train}
        val = {name for part in parts if part is not None for name in part.val} - train
        named = {"trained": train, "validated": val, "locked": set(splits.test)}
        index, found = store.index, {}
        for name, groups in named.items():
            rows = rows_of(index, tuple(sorted(groups)), by=splits.by)
            found[name] = list(digest_cases(store, set(index.iloc[rows]["group"]), channels))
        return found

    def _score(self, notes: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The first member's, of folds the mean; none for networks that have seen them all."""
        scored = [note for note in notes if "score" in note]
        if not scored:
            return None
        metric, folds = self.picks.study.metric, self.picks.kind == "folds"
        chosen = scored if folds else scored[:1]
        of = "mean over the folds, each on its own patients" if folds else "its own"
        if self.picks.kind == "top":
            of = f"of its best network alone, trial {notes[0]['trial']}"
        parts = [self.split_of(one) for one in self.picks.networks[: len(chosen)]]
        patients = {name.rpartition("#")[0] or name for part in parts if part for name in part.val}
        return {
            "metric": metric.name,
            "goal": metric.goal,
            "value": fmean(note["score"] for note in chosen),
            "part": "validation",
            "patients": len(patients) or None,
            "cases": sum(note["cases"] for note in {str(n["fold"]): n for n in chosen}.values()),
            "of": of,
        }
