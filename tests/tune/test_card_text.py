"""The card as a page: steps that can be followed, and nothing that strangers could write in."""

from __future__ import annotations

from dataclasses import replace

from seglib.data.pixels import SCALES
from seglib.model import PostProcess
from seglib.recipe import Recipe
from tests.seglib.networks_of_chance import LUNGS, REGIONS, input_spec, model_of
from tune.card_text import card_as_text

TINY = Recipe(base_filters=2, depth=1)
CARD = {
    "study": {"name": "<b>mine</b>"},
    "score": {"metric": "dice", "value": 0.81234, "patients": 6, "cases": 7},
    "data": {"key": "k123", "patients": 8, "cases": 9, "notes": []},
    "patients": {"salt": "k123", "num_trained": 5, "trained": ["00ffee"]},
    "images": {"trained": ["00aabb"]},
    "limits": ["Only *phantoms*."],
    "empty_masks": "Not counted.",
}


def test_page_says_what_goes_in_and_what_comes_out() -> None:
    post = PostProcess(thresholds=(0.5, 0.4, 0.3), smallest=(0, 12, 0), note="tuned on 4 cases")
    spec = input_spec(target=REGIONS, channels=("flair", "t1"), normalise="zscore", unit="mm")
    text = card_as_text(replace(model_of(spec, TINY, TINY, post=post), card=CARD), ["one file"])
    for words in (
        "batch x 2 x height x width",
        "Channels in this order: flair, t1.",
        f"`byte * {1 / 32} + {SCALES['zscore'].offset:g}`",
        "WT from 0.5, TC from 0.4, ET from 0.3",
        "parts of TC below 12 mm3",
        "tuned on 4 cases",
        "all 2 alike",
        "- one file",
        "- value: 0.8123",
        "- patients: 6",
        "- cases: 7",
        "- patients: 8",
        "`k123`",
        "patients trained on: 5",
    ):
        assert words in text, words
    assert "00ffee" not in text
    assert "00aabb" not in text


def test_words_of_strangers_stay_words() -> None:
    text = card_as_text(replace(model_of(input_spec()), card=CARD))
    assert "# Model card: \\<b\\>mine\\</b\\>" in text
    assert "Only \\*phantoms\\*." in text


def test_each_way_to_normalise_has_its_steps() -> None:
    words = {
        "percentile": "percentile 0.5",
        "window": "From -1000 to 400 HU",
        "none": "as the file has them",
    }
    for normalise, wanted in words.items():
        spec = input_spec(target=LUNGS, normalise=normalise)
        text = card_as_text(model_of(spec))
        assert wanted in text
        assert "its most probable channel" in text
        assert "background, left_lung, right_lung" in text.replace("\\", "")
