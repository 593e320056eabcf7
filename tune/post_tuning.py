"""Post-processing of a model, tuned on validation cases that its networks did not train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from seglib.data.store import Store
from seglib.model import Model, PostProcess
from seglib.postprocess import is_flat
from seglib.postprocess_tuning import Sample, read_samples, tune_postprocess
from seglib.predict import Predictor
from tune.assembly import Assembly

__all__ = ["tune_post"]


def tune_post(assembly: Assembly, model: Model) -> PostProcess:
    """Thresholds and smallest parts that score best on the validation part.

    Several networks are tuned together, on the patients that validated them all. Networks of
    folds have none in common: each predicts its own patients, as in cross-validation, and
    all of these are taken together.

    Args:
        assembly: Says who validated.
        model: Its networks.

    Returns:
        The settings; plain, and the note says why, where the prepared data are gone or no
        patient is left to tune on.
    """
    store, target = assembly.store, model.inputs.target
    if store is None or assembly.splits is None or not assembly.can_tune:
        why = "no patients are left that its networks have not seen"
        if store is None or assembly.splits is None:
            why = f"{'the prepared data are' if store is None else 'splits.json is'} gone"
        plain = PostProcess.plain(target)
        return plain.model_copy(update={"note": f"not tuned: {why}"})
    unit = "cases" if assembly.splits.by == "slice" else "validation cases"
    return tune_postprocess(
        _samples(assembly, model, store), target, flat=is_flat(model.inputs.layout), note=unit
    )


def _samples(assembly: Assembly, model: Model, store: Store) -> Iterator[Sample]:
    networks = assembly.picks.networks
    if assembly.picks.kind != "folds":
        split = assembly.split_of(networks[0])
        assert split is not None
        yield from read_samples(Predictor(model), store, split.rows(store.index, "val"))
        return
    for one, member in zip(networks, model.members, strict=True):
        split = assembly.split_of(one)
        if split is not None:
            alone = Predictor(replace(model, members=(member,)))
            yield from read_samples(alone, store, split.rows(store.index, "val"))
