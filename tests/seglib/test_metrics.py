from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seglib.metrics import METRICS, Scores, Tally, mask_planes, predict_planes
from seglib.target import Target
from tests import references
from tests.contracts import TARGETS, perfect_logits, random_batch

BINARY = TARGETS["binary"]
either_policy = pytest.mark.parametrize("empty", ["skip", "one"])
each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def row(text: str) -> Tensor:
    """``"##.."`` -> planes (1, 1, 1, 4)."""
    return torch.tensor([sign == "#" for sign in text]).view(1, 1, 1, -1)


def binary_scores(*cases: tuple[str, str], empty: Any = "skip") -> Scores:
    """Each case is a pair of rows, prediction and truth."""
    tally = Tally(BINARY, empty)
    for number, (pred, true) in enumerate(cases):
        tally.update(row(pred), row(true), [f"case{number}"])
    return tally.scores()


def figures(scores: Scores) -> tuple[float, float, float, float]:
    return scores.dice, scores.iou, scores.precision, scores.recall


def same(a: Scores, b: Scores) -> bool:
    """Exactly the same, to the last bit."""
    pd.testing.assert_frame_equal(a.per_case, b.per_case, check_exact=True)
    names = [field.name for field in dataclasses.fields(Scores) if field.name != "per_case"]
    return all(repr(getattr(a, name)) == repr(getattr(b, name)) for name in names)


# planes


@each_target
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_mask_planes_follow_membership(target: Target, dtype: torch.dtype) -> None:
    _, mask = random_batch(target, seed=1)
    planes = mask_planes(mask.to(dtype), target)
    assert planes.dtype == torch.bool
    assert np.array_equal(planes.numpy(), references.planes(mask.numpy(), target))


@each_target
def test_perfect_logits_predict_the_mask(target: Target) -> None:
    _, mask = random_batch(target, seed=2)
    pred = predict_planes(perfect_logits(mask, target), target)
    assert torch.equal(pred, mask_planes(mask, target))


@each_target
def test_prediction_is_the_likeliest_answer(target: Target) -> None:
    logits, _ = random_batch(target, seed=3)
    for layout in (torch.contiguous_format, torch.channels_last):
        pred = predict_planes(logits.contiguous(memory_format=layout), target)
        if target.kind == "organs":
            best = logits.argmax(dim=1)
            wanted = torch.stack([best == i + 1 for i in range(target.num_classes)], dim=1)
        else:
            wanted = logits.sigmoid() > 0.5
        assert torch.equal(pred, wanted)


def test_organs_never_share_a_pixel_even_on_a_tie() -> None:
    pred = predict_planes(torch.ones(1, 3, 2, 2), TARGETS["organs"])
    assert (pred.sum(dim=1) <= 1).all()


# one case by hand


def test_figures_of_one_case_by_hand() -> None:
    # TP 2, FP 1, FN 3
    scores = binary_scores(("###.....", "##.###.."))
    assert figures(scores) == pytest.approx((4 / 8, 2 / 6, 2 / 3, 2 / 5))
    ratios = dict(zip(METRICS, (4 / 8, 2 / 6, 2 / 3, 2 / 5), strict=True))
    counts = {"case": "case0", "class": "tumour", "tp": 2, "fp": 1, "fn": 3, "voxels": 8}
    assert scores.per_case.to_dict("records") == [counts | ratios]
    assert scores.per_class == {"tumour": ratios}


def test_cases_weigh_the_same_unless_pooled() -> None:
    scores = binary_scores(("#", "#"), ("....", "####"))
    assert scores.dice == 0.5
    assert scores.pooled_dice == pytest.approx(2 / 6)  # TP 1, FN 4


def test_slices_of_a_volume_are_judged_as_one_case() -> None:
    tally = Tally(BINARY)
    pred = torch.cat([row("##.."), row("....")])
    true = torch.cat([row("##.."), row("##..")])
    tally.update(pred, true, ["a", "a"])
    # slice by slice it would be (1 + 0) / 2
    assert tally.scores().dice == pytest.approx(2 * 2 / (2 + 4))
    assert tally.scores().per_case["voxels"].tolist() == [8]


# empty masks, branch by branch


def test_both_empty_is_not_counted_by_default() -> None:
    scores = binary_scores(("#.", "##"), ("..", ".."))
    assert scores.empty_policy == "skip"
    assert scores.dice == pytest.approx(2 / 3)
    assert scores.per_case["dice"].isna().tolist() == [False, True]
    assert scores.num_cases == 2


def test_both_empty_counts_as_one_on_request() -> None:
    scores = binary_scores(("#.", "##"), ("..", ".."), empty="one")
    assert scores.empty_policy == "one"
    assert figures(scores) == pytest.approx(((2 / 3 + 1) / 2, 0.75, 1.0, 0.75))


@either_policy
def test_marked_where_nothing_is_counts_as_zero_and_is_listed(empty: str) -> None:
    scores = binary_scores(("##", "##"), ("###.", "...."), empty=empty)
    assert figures(scores) == (0.5, 0.5, 0.5, 0.5)
    assert scores.false_positive_cases == {"tumour": 1}
    assert scores.false_positive_voxels == {"tumour": 3}


@either_policy
def test_false_positives_beside_truth_are_not_listed(empty: str) -> None:
    scores = binary_scores(("##", "#."), empty=empty)
    assert scores.false_positive_cases == {"tumour": 0}
    assert scores.false_positive_voxels == {"tumour": 0}


@either_policy
def test_missed_altogether_is_zero_in_all_figures(empty: str) -> None:
    assert figures(binary_scores(("..", "##"), empty=empty)) == (0, 0, 0, 0)


def test_class_that_no_case_has_is_nan_and_left_out_whatever_was_marked() -> None:
    target = TARGETS["organs"]
    true = torch.cat([row("##.."), row("....")], dim=1)
    for marked in ("....", "..##"):
        tally = Tally(target)
        tally.update(torch.cat([row("##.."), row(marked)], dim=1), true, ["a"])
        scores = tally.scores()
        assert figures(scores) == (1, 1, 1, 1)
        assert all(math.isnan(scores.per_class["right"][metric]) for metric in METRICS)
    assert scores.false_positive_voxels == {"left": 0, "right": 2}


def test_class_that_no_case_has_counts_when_empty_is_one() -> None:
    target = TARGETS["organs"]
    true = torch.cat([row("##.."), row("....")], dim=1)
    for marked, wanted in (("....", 1.0), ("..##", 0.5)):
        tally = Tally(target, "one")
        tally.update(torch.cat([row("##.."), row(marked)], dim=1), true, ["a"])
        assert tally.scores().dice == wanted


def test_nothing_at_all_is_nan() -> None:
    for scores in (Tally(BINARY).scores(), binary_scores(("..", ".."))):
        assert all(math.isnan(figure) for figure in (*figures(scores), scores.pooled_dice))
    assert Tally(BINARY).scores().num_cases == 0
    assert Tally(BINARY, "one").scores().per_case.empty


# background


def test_background_never_counts() -> None:
    target = TARGETS["organs"]
    mask = torch.zeros(1, 100, 100, dtype=torch.int64)
    mask[0, 0, :2] = 1
    mask[0, 1, :2] = 2
    tally = Tally(target)
    nothing = perfect_logits(torch.zeros_like(mask), target)
    tally.update(predict_planes(nothing, target), mask_planes(mask, target), ["a"])
    # 99.96 % of pixels are right
    assert figures(tally.scores()) == (0, 0, 0, 0)
    assert set(tally.scores().per_class) == {"left", "right"}


def test_more_background_changes_no_figure() -> None:
    near = binary_scores(("##.", ".##"))
    far = binary_scores(("##." + "." * 500, ".##" + "." * 500))
    assert figures(near) == figures(far)


# order and pieces


@st.composite
def pieces(draw: st.DrawFn) -> tuple[Target, Tensor, Tensor, list[str], list[int], list[int]]:
    """Slices of a few cases, another order of them, and places to cut that into batches."""
    target = TARGETS[draw(st.sampled_from(list(TARGETS)))]
    num_slices = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 10_000))
    logits, mask = random_batch(target, seed=seed, size=(num_slices, 4, 3))
    empty = torch.tensor(draw(st.lists(st.booleans(), min_size=num_slices, max_size=num_slices)))
    mask = mask.masked_fill(empty.view(-1, 1, 1), 0)
    cases = [f"p{draw(st.integers(0, 3))}" for _ in range(num_slices)]
    order = draw(st.permutations(range(num_slices)))
    cuts = sorted(draw(st.sets(st.integers(1, num_slices))) | {num_slices})
    return target, predict_planes(logits, target), mask_planes(mask, target), cases, order, cuts


@settings(max_examples=60, deadline=None)
@given(pieces(), st.sampled_from(["skip", "one"]))
def test_order_and_pieces_do_not_change_scores(given_pieces: Any, empty: Any) -> None:
    target, pred, true, cases, order, cuts = given_pieces
    whole, cut = Tally(target, empty), Tally(target, empty)
    whole.update(pred, true, cases)
    for start, stop in zip([0, *cuts], cuts, strict=False):
        part = order[start:stop]
        cut.update(pred[part], true[part], [cases[i] for i in part])
        cut.scores()  # looking does not disturb
    assert same(whole.scores(), cut.scores())


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_figures_are_those_of_the_plain_reference(given_pieces: Any) -> None:
    target, pred, true, cases, _, _ = given_pieces
    tally = Tally(target)
    tally.update(pred, true, cases)
    table = tally.scores().per_case
    for name, label in table[["case", "class"]].itertuples(index=False):
        own = [i for i, case in enumerate(cases) if case == name]
        c = target.classes.index(label)
        wanted = references.four_metrics(pred[own, c].numpy(), true[own, c].numpy())
        found = table[(table["case"] == name) & (table["class"] == label)].iloc[0]
        assert {metric: found[metric] for metric in METRICS} == pytest.approx(wanted, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_dice_and_iou_tell_the_same_story(given_pieces: Any) -> None:
    target, pred, true, cases, _, _ = given_pieces
    tally = Tally(target)
    tally.update(pred, true, cases)
    table = tally.scores().per_case.dropna()
    assert np.allclose(table["dice"], 2 * table["iou"] / (1 + table["iou"]), rtol=1e-14)


def test_counts_of_many_cases_survive_growing_tables() -> None:
    tally = Tally(BINARY)
    for i in range(100):
        tally.update(row("#" * i + "." * (100 - i)), row("#" * 100), [f"{i:03}"])
    assert tally.scores().per_case["tp"].tolist() == list(range(100))


def test_counts_stay_exact_beyond_float32() -> None:
    tally = Tally(BINARY)
    full = torch.ones(1, 1, 4096, 4096, dtype=torch.bool)
    tally.update(full, full, ["a"])
    tally.update(row("#"), row("."), ["a"])
    counts = tally.scores().per_case.iloc[0]
    assert (counts["tp"], counts["fp"], counts["voxels"]) == (2**24, 1, 2**24 + 1)
    assert tally.scores().dice < 1


# faults


def test_unknown_empty_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="empty: found 'zero'; wanted 'skip' or 'one'"):
        Tally(BINARY, "zero")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pred", "true", "cases"),
    [
        (row("#."), row("#."), ["a", "b"]),
        (row("#."), row("#.."), ["a"]),
        (row("#.").float(), row("#."), ["a"]),
        (row("#."), row("#.").to(torch.uint8), ["a"]),
        (row("#.").expand(1, 2, 1, 2), row("#.").expand(1, 2, 1, 2), ["a"]),
    ],
    ids=["cases", "size", "float pred", "integer truth", "classes"],
)
def test_planes_that_do_not_agree_are_refused(pred: Tensor, true: Tensor, cases: list[str]) -> None:
    tally = Tally(BINARY)
    with pytest.raises(ValueError, match="planes: found"):
        tally.update(pred, true, cases)
    assert tally.scores().num_cases == 0
