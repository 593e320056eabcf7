"""The table of networks: it is complete, and what it says of a recipe is so."""

from __future__ import annotations

from typing import get_args

import pytest

from seglib.architectures import (
    ARCHITECTURES,
    LIBRARIES,
    NETWORK_FIELDS,
    count_halvings,
    has_dropout_before_batch_norm,
    lacking_library,
    means_something,
    why_impossible,
)
from seglib.recipe import ArchitectureName, Recipe


def test_every_name_has_a_row_and_every_row_a_name() -> None:
    assert tuple(ARCHITECTURES) == get_args(ArchitectureName)


def test_fields_of_networks_are_fields_of_the_recipe() -> None:
    assert set(Recipe.model_fields) > NETWORK_FIELDS
    assert "architecture" not in NETWORK_FIELDS


def test_how_it_is_trained_matters_to_every_network() -> None:
    for name in ("learning_rate", "loss", "batch_size", "rotation_deg", "architecture"):
        assert all(means_something(name, kind) for kind in ARCHITECTURES)
    assert means_something("encoder", "smp_fpn")
    assert not means_something("encoder", "unet")
    assert not means_something("base_filters", "smp_fpn")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_smallest_image_leaves_two_pixels(kind: str) -> None:
    recipe = Recipe(architecture=kind, depth=3)
    smallest = 2 ** (count_halvings(recipe) + 1)
    assert why_impossible(recipe, smallest) == ""
    assert f"less than 2 pixels of a {smallest - 1} px image" in why_impossible(
        recipe, smallest - 1
    )


def test_what_a_network_cannot_have_is_named() -> None:
    recipe = Recipe(architecture="monai_segresnet", norm="none")
    assert why_impossible(recipe, 256) == "monai_segresnet cannot have norm none"
    recipe = Recipe(architecture="monai_dynunet", depth=1)
    assert why_impossible(recipe, 256) == "monai_dynunet cannot have depth 1"


@pytest.mark.parametrize(
    ("kind", "norm", "dropout", "expected"),
    [
        ("unet", "batch", 0.2, True),
        ("unet", "batch", 0.0, False),
        ("unet", "group", 0.2, False),
        ("monai_dynunet", "batch", 0.2, False),  # it drops nothing
        ("smp_unet", "batch", 0.2, False),  # nor does this
        ("smp_fpn", "group", 0.2, True),  # its norm is not ours to choose
    ],
)
def test_statistics_are_recomputed_where_dropout_falls(
    kind: str, norm: str, dropout: float, expected: bool
) -> None:
    recipe = Recipe(architecture=kind, norm=norm, dropout=dropout)
    assert has_dropout_before_batch_norm(recipe) is expected


def test_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacking_library("unet") == ""
    assert lacking_library("monai_dynunet") == ""
    monkeypatch.setitem(LIBRARIES, "monai", ("MONAI", "monai_that_is_not_here"))
    assert lacking_library("monai_dynunet") == "MONAI"
    assert lacking_library("smp_unet") == ""
