from __future__ import annotations

from pathlib import Path

import pytest

from seglib.data.volume_names import group_volumes, split_name


@pytest.mark.parametrize(
    ("stem", "case", "role"),
    [
        ("id001_ct", "id001", "image"),
        ("id001_lungs", "id001", "mask"),
        ("id001-Mask", "id001", "mask"),
        ("a_b.tumour", "a_b", "mask"),
        ("mask", "", "mask"),
        ("id001", "id001", ""),
        ("id_maskless", "id_maskless", ""),
        ("mask_7", "mask_7", ""),
        ("", "", ""),
    ],
)
def test_the_last_word_tells_the_role(stem: str, case: str, role: str) -> None:
    assert split_name(stem) == (case, role)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["a_ct", "a_lungs"], [("a", "a_ct a_lungs")]),
        (["a", "a_kidney", "b"], [("a", "a a_kidney"), ("b", "b")]),
        (["a_one", "a_two"], [("a", "a_one a_two")]),
        (["p_1", "p_2", "p_3"], [("p_1", "p_1"), ("p_2", "p_2"), ("p_3", "p_3")]),
        (["a_lung", "a_lung_mask"], [("a_lung", "a_lung a_lung_mask")]),
        (["a_lung", "a_mask", "a"], [("a", "a a_lung a_mask")]),
    ],
)
def test_volumes_are_grouped_by_what_their_names_share(
    names: list[str], groups: list[tuple[str, str]]
) -> None:
    found = group_volumes(Path("d") / f"{name}.nii.gz" for name in names)
    assert sorted(
        (case, " ".join(sorted(one.path.name.removesuffix(".nii.gz") for one in group)))
        for (_, case), group in found.items()
    ) == sorted(groups)
