from __future__ import annotations

import pytest
from pydantic import ValidationError

from seglib.target import Target

LUNGS = Target(
    kind="organs",
    classes=("left_lung", "right_lung"),
    values={0: 0, 156: 1, 251: 2},
    members=((1,), (2,)),
)
TUMOUR = Target(
    kind="regions",
    classes=("WT", "TC", "ET"),
    values={0: 0, 1: 1, 2: 2, 4: 3},
    members=((1, 2, 3), (1, 3), (3,)),
)


def test_organs_have_a_channel_more_than_classes_and_regions_have_not() -> None:
    assert (LUNGS.num_classes, LUNGS.num_logits) == (2, 3)
    assert (TUMOUR.num_classes, TUMOUR.num_logits) == (3, 3)


def test_membership_lists_the_classes_of_each_label() -> None:
    no, yes = False, True
    assert TUMOUR.membership() == [[no] * 3, [yes, yes, no], [yes, no, no], [yes, yes, yes]]


def test_background_belongs_to_no_class() -> None:
    for target in (LUNGS, TUMOUR):
        assert not any(target.membership()[0])


def test_left_and_right_trade_places_and_nothing_else_does() -> None:
    assert LUNGS.mirror_pairs() == ((1, 2),)
    assert TUMOUR.mirror_pairs() == ()


def test_target_survives_json() -> None:
    for target in (LUNGS, TUMOUR):
        assert Target.model_validate_json(target.model_dump_json()) == target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ()}, "at least one class"),
        ({"classes": ("a", "a")}, "share a name"),
        ({"members": ((0,), (2,))}, "labels above 0"),
        ({"members": ((1,), (7,))}, "labels above 0"),
        ({"members": ((2,), (1,))}, "organ number i must be label"),
        ({"kind": "binary"}, "exactly one class"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Target.model_validate(LUNGS.model_dump() | change)
