"""Post-processing of a model, tuned on validation cases that its networks did not train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.model import Model, PostProcess
from seglib.postprocess import is_flat
from seglib.postprocess_tuning import Sample, read_samples, tune_postprocess
from seglib.predict import Predictor
from tune.assembly import Assembly

__all__ = ["tune_post"]


def tune_post(assembly: Assembly, model: Model) -> PostProcess:
    """Thresholds and smallest parts that score best on the validation part.

    Several networks are tuned together, on the patients that validated them all and that
    none has trained on. Networks of folds have none in common: each predicts its own
    patients, as in cross-validation, and all of these are taken together.

    Args:
        assembly: Says who validated.
        model: Its networks.

    Returns:
        The settings; plain, and the note says why, where the prepared data are gone or no
        patient is left to tune on.
    """
    store, target = assembly.store, model.inputs.target
    common = None if assembly.picks.kind == "folds" else _common(assembly)
    if (
        store is None
        or assembly.splits is None
        or not assembly.can_tune
        or (common is not None and not common.val)
    ):
        why = "no patients are left that its networks have not seen"
        if store is None or assembly.splits is None:
            why = f"{'the prepared data are' if store is None else 'splits.json is'} gone"
        plain = PostProcess.plain(target)
        return plain.model_copy(update={"note": f"not tuned: {why}"})
    unit = "cases" if assembly.splits.by == "slice" else "validation cases"
    samples = _samples(assembly, model, store, common)
    return tune_postprocess(samples, target, flat=is_flat(model.inputs.layout), note=unit)


def _common(assembly: Assembly) -> Split:
    """Patients that validated every network and trained none: of trials of several folds, few."""
    parts = [assembly.split_of(one) for one in assembly.picks.networks]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return Split((), ())
    val = set.intersection(*(set(part.val) for part in known))
    train = {name for part in known for name in part.train}
    return Split((), tuple(sorted(val - train)), known[0].by)


def _samples(
    assembly: Assembly, model: Model, store: Store, common: Split | None
) -> Iterator[Sample]:
    if common is not None:
        yield from read_samples(Predictor(model), store, common.rows(store.index, "val"))
        return
    for one, member in zip(assembly.picks.networks, model.members, strict=True):
        split = assembly.split_of(one)
        if split is not None:
            alone = Predictor(replace(model, members=(member,)))
            yield from read_samples(alone, store, split.rows(store.index, "val"))
