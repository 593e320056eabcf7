"""The model card as a page of text: what a network is for, what it takes, how far to trust it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seglib.averaged import describe_interface
from seglib.data.pixels import OUTSIDE_SHARE
from seglib.model import Model

__all__ = ["card_as_text"]

_LICENCE = (
    "segtune is Apache-2.0. What may be done with these weights depends on the images that they "
    "were trained on: their licence, the patients' consent and the law are not written in any "
    "file that segtune reads. Ask whoever gave you the images before you pass the model on."
)


def card_as_text(model: Model, measured: Sequence[str] = ()) -> str:
    """The card, in Markdown.

    Args:
        model: The model.
        measured: Sentences on the files beside the card, and how they were compared.

    Returns:
        The page.
    """
    card, interface = model.card, describe_interface(model)
    study = _words(card.get("study", {}).get("name", "segtune model"))
    parts: list[tuple[str, Iterable[str]]] = [
        ("", [_words(card.get("intended_use", "Research only; no medical device."))]),
        ("Networks", _networks(model, card)),
        ("Files", [f"- {one}" for one in measured]),
        ("Input", _input(interface["input"])),
        ("Output", _output(interface)),
        ("Score", _score(card)),
        ("Data", _data(card)),
        ("Limits", [f"- {_words(one)}" for one in card.get("limits", ())]),
        ("Licence", [_LICENCE]),
        ("Made with", _listed(card.get("made_with", {}))),
    ]
    lines = [f"# Model card: {study}", ""]
    for title, content in parts:
        body = list(content)
        if body:
            lines += [f"## {title}", ""] if title else []
            lines += [*body, ""]
    return "\n".join(lines)


def _networks(model: Model, card: Mapping[str, Any]) -> Iterator[str]:
    known = card.get("members", ())
    for number, one in enumerate(model.members):
        recipe = one.recipe.model_dump(exclude_defaults=True)
        settings = ", ".join(f"{name} {value}" for name, value in recipe.items())
        yield f"- {_words(one.name)}: {settings or 'the default recipe'}"
        if number < len(known):
            yield f"  - {_flat(known[number])}"
    if len(model.members) > 1:
        yield ""
        yield f"Their probabilities are averaged, all {len(model.members)} alike."


def _input(given: Mapping[str, Any]) -> Iterator[str]:
    size, names = given["image_size"], ", ".join(map(_words, given["channels"]))
    sides = given["side_multiple_of"]
    yield f"`{given['name']}`: float32, batch x {len(given['channels'])} x height x width."
    yield f"Channels in this order: {names}. Any batch. Height and width are {size}" + (
        f" in use; any multiple of {sides} from {2 * sides} on is taken."
        if sides
        else ", and no other."
    )
    yield ""
    steps = [
        *_normalised(given),
        f"Resize so that the longer side is {size} pixels (area when it shrinks, cubic when it "
        f"grows), and centre it in a square of {size} x {size}; the rest is byte "
        f"{given['padding_byte']}.",
        f"As float32: `byte * {given['scale']:.10g} + {given['offset']:g}`.",
    ]
    yield from (f"{number}. {step}" for number, step in enumerate(steps, 1))


def _normalised(given: Mapping[str, Any]) -> Iterator[str]:
    """From the values of a file to bytes, as :mod:`seglib.data.pixels` does it."""
    if given["normalise"] == "zscore":
        yield (
            f"Of each file and channel, all slices together: the body is where the value is not "
            f"0, if {OUTSIDE_SHARE:.0%} of the voxels or more are 0, else everything. z is the "
            "number of standard deviations of the body from its mean."
        )
        yield (
            f"Bytes: (z + 3) x 32, rounded, cut to 0 to 255; outside the body "
            f"{given['padding_byte']}."
        )
    elif given["normalise"] == "percentile":
        yield (
            "Of each file and channel, all slices together: from the percentile 0.5 to the "
            "percentile 99.5 onto bytes 0 to 255, rounded; what lies beyond is cut."
        )
    elif given["normalise"] == "window":
        low, high = given["window_hu"]
        yield f"From {low:g} to {high:g} HU onto bytes 0 to 255, rounded; what lies beyond is cut."
    else:
        yield "Grey values 0 to 255 as the file has them."


def _output(interface: Mapping[str, Any]) -> Iterator[str]:
    output, masks = interface["output"], interface["masks"]
    names = [_words(name) for name in output["channels"]]
    yield f"`{output['name']}`: float32, batch x {len(names)} x height x width, from 0 to 1"
    yield f"({output['activation']}, no logits). Channels in this order: {', '.join(names)}."
    yield ""
    yield (
        "All in float32. `segtune predict` computes in half precision where a network was trained "
        "so and the device has it: a probability may then differ by a hundredth."
    )
    yield ""
    yield (
        "Cut the padding off the probabilities and bring them to the size of the image (linear), "
        "then decide."
    )
    if masks["kind"] == "organs":
        yield "A pixel belongs to its most probable channel."
    else:
        limits = [f"{_words(name)} from {value:g}" for name, value in masks["thresholds"].items()]
        yield f"A pixel belongs to a class by its probability: {', '.join(limits)}."
        if len(limits) > 1:
            yield "Classes may overlap."
    small = {name: value for name, value in masks["smallest_part"].items() if value}
    for name, value in small.items():
        yield (
            f"Connected parts of {_words(name)} below {value:g} {masks['unit']}3 of a volume "
            f"({masks['unit']}2 of a picture) are removed."
        )
    yield f"How these were chosen: {_words(masks['note'])}."
    yield (
        "Grey values in the masks that it learnt from: "
        + ", ".join(
            f"{_words(name)} {' or '.join(map(str, values))}"
            for name, values in masks["grey_values"].items()
        )
        + "."
    )


def _score(card: Mapping[str, Any]) -> Iterator[str]:
    score = card.get("score")
    if score:
        yield from _listed(score)
    else:
        yield "- not known"
    if card.get("split"):
        yield f"- split: {_flat(card['split'])}"
    if card.get("empty_masks"):
        yield f"- empty masks: {_words(card['empty_masks'])}"


def _data(card: Mapping[str, Any]) -> Iterator[str]:
    data = dict(card.get("data", {}))
    key = data.pop("key", None)
    if key:
        yield f"- fingerprint (of the content of every file and the settings): `{_words(key)}`"
    yield from _listed(data)
    patients = card.get("patients", {})
    if "num_trained" in patients:
        yield f"- patients trained on: {patients['num_trained']}"
    if patients.get("salt"):
        yield (
            "- the model's file holds hashes of their names and of some images, so that `segtune "
            "evaluate` says which cases of a folder it has seen"
        )


def _listed(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if value not in (None, "", [], {}):
            yield f"- {_words(name).replace('_', ' ')}: {_flat(value)}"


def _flat(value: Any) -> str:
    """Plain data on one line."""
    if isinstance(value, Mapping):
        known = {name: one for name, one in value.items() if one not in (None, "", [], {})}
        return ", ".join(
            f"{_words(name).replace('_', ' ')} {_flat(one)}" for name, one in known.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(_flat(one) for one in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return _words(value)


def _words(value: Any) -> str:
    """What strangers wrote, on one line and without marks that Markdown would act on."""
    text = value if isinstance(value, str) else json.dumps(value)
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "*[]<>`|#" else letter for letter in plain)
