"""Whom a model has met is said, by image rather than by name."""

from __future__ import annotations

import numpy as np
import pandas as pd

from seglib.image_digests import digest_image
from tune.card import hash_group
from tune.familiar import Familiar

IMAGES = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4, 1)


def card() -> dict:
    return {
        "patients": {
            "salt": "s",
            "trained": [hash_group("anna", "s")],
            "validated": [],
            "locked": [hash_group("otto", "s")],
        },
        "images": {
            "trained": [digest_image(IMAGES[0])],
            "validated": [digest_image(IMAGES[1])],
            "locked": [],
        },
    }


def table(known: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": list(known),
            "class": "thing",
            "dice": np.linspace(0.5, 0.9, len(known)),
            "known_to_model": list(known.values()),
        }
    )


def test_images_are_known_under_any_name_and_the_worst_counts() -> None:
    familiar = Familiar(card())
    familiar.look("renamed", IMAGES[[3, 1]])
    familiar.look("renamed", IMAGES[[0]])
    familiar.look("renamed", IMAGES[[1]])
    familiar.look("stranger", IMAGES[[3, 4]])
    patients = {"renamed": "x", "stranger": "y", "a": "anna", "o": "otto"}
    assert familiar.by_case(patients) == {
        "renamed": "trained",
        "stranger": "",
        "a": "trained (name)",
        "o": "locked (name)",
    }


def test_where_slices_were_divided_the_card_names_cases() -> None:
    assert Familiar(card()).by_case({"anna": "p1", "else": "p2"}) == {
        "anna": "trained (name)",
        "else": "",
    }


def test_what_is_known_is_said_with_the_number_of_patients() -> None:
    familiar = Familiar(card())
    said = familiar.warnings(
        table({"a": "trained", "b": "trained", "c": "", "d": "locked (name)", "e": "validated"})
    )
    assert said[0].startswith("WARNING: 2 of 5 patients: the model was trained on them")
    assert said[1].startswith("WARNING: 1 of 5 patients: the model was chosen by them")
    assert "1 of 5 patients have names of patients that it knows" in said[2]
    assert len(said) == 3
    compared = familiar.compare(table({"a": "trained", "c": "", "d": ""}))
    assert compared.endswith("strangers 0.800 (2), trained 0.500 (1)")


def test_strangers_raise_no_warning_and_no_comparison() -> None:
    familiar, strangers = Familiar(card()), table({"a": "", "b": ""})
    assert familiar.warnings(strangers) == []
    assert familiar.compare(strangers) == ""


def test_a_card_that_tells_nothing_is_no_comfort() -> None:
    (said,) = Familiar({}).warnings(table({"a": ""}))
    assert "does not tell whom it was trained on" in said
    assert not Familiar({}).knows_images
