from __future__ import annotations

import json
from pathlib import Path

from seglib.data.splits import Split, Splits
from tune.card import CardParts, hash_group, write_card
from tune.study_file import load_study


def parts_of(study_path: Path, **changed) -> CardParts:
    splits = Splits(("a", "b"), ("c",), ("d",), (("a", "b"), ("c",)), "patient", 7)
    given = {
        "study": load_study(study_path, demo=False),
        "data": {"key": "k1", "classes": ["tumour"], "phantom": False},
        "start": {"versions": {"torch": "2"}, "python": "3.11"},
        "splits": splits,
        "parts": [splits.search_part()],
        "members": [{"trial": 0, "fold": None, "score": 0.5}],
        "kind": "trial",
        "score": {"value": 0.5},
        "post": "not tuned",
    }
    return CardParts(**{**given, **changed})


def test_card_is_json_and_names_no_patient(study_path: Path) -> None:
    text = json.dumps(write_card(parts_of(study_path)))
    assert all(f'"{name}"' not in text for name in "abcd")
    assert "No medical device" in text


def test_patients_are_found_again_by_their_hash_and_part(study_path: Path) -> None:
    patients = write_card(parts_of(study_path))["patients"]
    assert patients["num_trained"] == 2
    for part, names in {"trained": "ab", "validated": "c", "locked": "d"}.items():
        assert patients[part] == sorted(hash_group(name, patients["salt"]) for name in names)


def test_hashes_of_two_data_sets_have_nothing_in_common() -> None:
    assert hash_group("a", "k1") != hash_group("a", "k2")


def test_slices_of_a_patient_are_one_entry(study_path: Path) -> None:
    split = Split(("x#1", "x#2"), ("y#1",), "slice")
    splits = Splits(split.train, split.val, (), (split.train, split.val), "slice", 7, "leaks")
    card = write_card(parts_of(study_path, splits=splits, parts=[split]))
    assert card["patients"]["trained"] == [hash_group("x", "k1")]
    assert any("by slice" in one for one in card["limits"])


def test_card_says_what_its_score_is_worth(study_path: Path) -> None:
    said = {
        "too good": write_card(parts_of(study_path)),
        "had not seen": write_card(parts_of(study_path, kind="folds")),
        "no score of this very model": write_card(
            parts_of(study_path, members=[{"trial": 0, "fold": "all"}])
        ),
        "phantoms": write_card(parts_of(study_path, data={"phantom": True})),
    }
    for words, card in said.items():
        assert any(words in limit for limit in card["limits"]), words
