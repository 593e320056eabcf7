"""Tuning finds what helps, leaves alone what does not, and never harms the score it tunes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from seglib.metrics import Tally
from seglib.model import PostProcess
from seglib.postprocess import mark_planes, remove_small
from seglib.postprocess_tuning import Sample, read_samples, tune_postprocess
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.seglib.networks_of_chance import BINARY, LUNGS, model_of


def sample(seed, *, shy=1.0, specks=0, around=0.05, target=BINARY, spacing_mm=(2.0, 1.0, 1.0)):
    """A ball that is found with some probability, and specks that are not there."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:6, :24, :24]
    ball = (2 * (z - 3)) ** 2 + (y - 10) ** 2 + (x - 9) ** 2 < 30
    truth = np.stack([ball, *[np.zeros_like(ball)] * (target.num_classes - 1)], axis=1)
    probs = np.where(truth, 0.9 * shy, 0.05).astype(np.float32)
    probs[:, 0, :, 0] = around
    for _ in range(specks):
        place = rng.integers(0, 6), rng.integers(19, 23), rng.integers(0, 23)
        probs[place[0], 0, place[1], place[2]] = 0.95
    return Sample(probs, truth, spacing_mm)


def dice(samples, post, target, *, flat=False):
    tally = Tally(target)
    for number, one in enumerate(samples):
        planes = mark_planes(one.probs, post, target)
        remove_small(planes, post.smallest, spacing_mm=one.spacing_mm, flat=flat)
        both = (torch.from_numpy(planes), torch.from_numpy(one.truth))
        tally.update(*both, [str(number)] * len(planes))
    return tally.scores().dice


def test_a_shy_network_gets_a_lower_threshold():
    samples = [sample(seed, shy=0.5) for seed in range(3)]
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert post.thresholds == (0.4,)  # the nearest to a half that finds the ball
    assert post.smallest == (0.0,)
    assert post.note == "tuned on 3 cases: Dice thing 0.000 to 1.000 (1.000 when left out)"


def test_specks_are_removed_and_the_ball_is_not():
    samples = [sample(seed, specks=8) for seed in range(3)]
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert post.thresholds == (0.5,)
    assert 2.0 < post.smallest[0] < 30  # a speck is 2 mm3
    assert dice(samples, post, BINARY) == 1.0 > dice(samples, PostProcess.plain(BINARY), BINARY)


def test_slices_that_are_pictures_are_tuned_as_pictures():
    samples = [sample(seed, specks=8, spacing_mm=(1.0, 1.0, 1.0)) for seed in range(3)]
    post = tune_postprocess(samples, BINARY, flat=True, note="cases")
    assert post.smallest[0] > 1
    plain = PostProcess.plain(BINARY)
    assert dice(samples, post, BINARY, flat=True) > dice(samples, plain, BINARY, flat=True)


def test_organs_keep_their_thresholds():
    samples = [sample(seed, shy=0.7, specks=5, target=LUNGS) for seed in range(3)]
    post = tune_postprocess(samples, LUNGS, flat=False, note="cases")
    assert post.thresholds == (0.5, 0.5)
    assert post.smallest[0] > 2
    assert post.note.endswith("; too few have right_lung")


def test_what_gains_nothing_stays_plain():
    post = tune_postprocess(map(sample, range(3)), BINARY, flat=False, note="cases")
    note = "tuned on 3 cases: nothing helps patients that are left out"
    assert post == PostProcess(thresholds=(0.5,), smallest=(0.0,), note=note)


def test_two_patients_are_too_few_however_many_cases_they_have():
    samples = [replace(sample(seed, shy=0.5), patient=f"p{seed % 2}") for seed in range(6)]
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert (post.thresholds, post.smallest) == ((0.5,), (0.0,))
    assert post.note.startswith("not tuned on 6 cases: fewer than 3 patients")
    third = replace(samples[0], patient="p2")
    assert tune_postprocess([*samples, third], BINARY, flat=False, note="cases").thresholds != (
        0.5,
    )


def test_what_helps_one_patient_only_is_not_taken():
    """A lower threshold finds one patient's ball, and marks some of the ground of all others."""
    samples = [sample(0, shy=0.5), *(sample(seed, around=0.45) for seed in range(1, 4))]
    lower = PostProcess(thresholds=(0.4,), smallest=(0.0,), note="")
    plain = PostProcess.plain(BINARY)
    assert dice(samples, lower, BINARY) > dice(samples, plain, BINARY) + 0.01
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert (post.thresholds, post.smallest) == ((0.5,), (0.0,))


def test_no_part_is_removed_that_is_as_large_as_a_patient_has_it_in_all():
    """The one with a small lesion is left out once, too: what the others would allow harms it."""
    tiny = np.zeros((6, 1, 24, 24), np.bool_)
    tiny[3, 0, 10, 9:11] = True
    small = Sample(np.where(tiny, 0.9, 0.05).astype(np.float32), tiny, (2.0, 1.0, 1.0))
    samples = [small, *(sample(seed, specks=8) for seed in range(5))]
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert post.smallest[0] <= 4.0  # mm3, two voxels
    samples_without = samples[1:]
    assert tune_postprocess(samples_without, BINARY, flat=False, note="cases").smallest[0] > 0


def test_a_class_that_no_case_has_stays_plain():
    empty = Sample(np.full((2, 1, 8, 8), 0.8, np.float32), np.zeros((2, 1, 8, 8), bool), (1, 1, 1))
    post = tune_postprocess([empty], BINARY, flat=False, note="cases")
    assert (post.thresholds, post.smallest) == ((0.5,), (0.0,))
    assert post.note.startswith("not tuned on 1 cases")


def test_tuning_never_lowers_the_score_that_it_tunes():
    rng = np.random.default_rng(3)
    samples = [
        Sample(
            np.clip(one.probs + rng.normal(0, 0.25, one.probs.shape), 0, 1).astype(np.float32),
            one.truth,
            one.spacing_mm,
        )
        for one in (sample(seed, shy=0.6, specks=4) for seed in range(4))
    ]
    post = tune_postprocess(samples, BINARY, flat=False, note="cases")
    assert dice(samples, post, BINARY) >= dice(samples, PostProcess.plain(BINARY), BINARY)
    assert post != PostProcess.plain(BINARY)


def test_samples_are_the_cases_of_a_store(store):
    predictor = Predictor(model_of(store, Recipe(base_filters=2, depth=1)), torch.device("cpu"))
    index = store.index.reset_index(drop=True)
    cases = sorted(index["case"].unique())[:2]
    rows = np.flatnonzero(index["case"].isin(cases))[::-1]  # in no order at all
    samples = list(read_samples(predictor, store, rows))
    assert len(samples) == 2
    assert len({one.patient for one in samples}) == 2
    for case, one in zip(cases, samples, strict=True):
        own = index[index["case"] == case].sort_values("slice")
        counts = own[[f"px_{name}" for name in store.target.classes]].to_numpy()
        np.testing.assert_array_equal(one.truth.sum(axis=(2, 3)), counts)
        np.testing.assert_allclose(
            one.probs, predictor.probabilities(store.images[own.index.to_numpy()]), atol=1e-6
        )
