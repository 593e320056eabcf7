"""The JSON schema of a study file, made from the models, so that an editor completes it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from seglib.recipe import Recipe
from tune.distributions import DISTRIBUTIONS
from tune.study_file import PARTS
from tune.study_layers import IGNORED
from tune.study_parts import Head

__all__ = ["schema", "schema_text"]

_SCALAR = {"type": ["string", "number", "boolean", "null"]}


def schema() -> dict[str, Any]:
    """The schema of a study file, JSON Schema 2020-12."""
    parts = {key: _model(model) for key, model in PARTS.items()}
    head = _model(Head)["properties"]
    points = {"type": "array", "items": _fields({"$ref": "#/$defs/scalar"})}
    body = {**head, **parts, "parameters": _fields({"$ref": "#/$defs/parameter"}), "points": points}
    body |= {key: {"description": "W&B's; ignored here"} for key in IGNORED}
    # each part is written once and referred to twice, from the top and from the demo part
    refs = {key: {"$ref": f"#/$defs/part-{key}"} for key in body}
    demo: dict[str, Any] = {"type": ["object", "boolean"], "additionalProperties": False}
    demo |= {"description": "laid over the rest when no data is given", "properties": refs}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "segtune study file",
        "type": "object",
        "required": ["method", "parameters"],
        "additionalProperties": False,
        "properties": {**refs, "demo": demo},
        "$defs": {
            "scalar": _SCALAR,
            "parameter": _parameter(),
            **{f"part-{key}": part for key, part in body.items()},
        },
    }


def schema_text() -> str:
    """The schema as the text of ``searchspaces/schema.json``."""
    return json.dumps(schema(), indent=2) + "\n"


def _fields(of: dict[str, Any]) -> dict[str, Any]:
    """An object with a property for each field of the recipe."""
    named = {
        name: {**of, "description": field.description}
        for name, field in Recipe.model_fields.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": named}


def _parameter() -> dict[str, Any]:
    number = {"type": "number"}
    scalar = {"$ref": "#/$defs/scalar"}
    one_or_more = {"anyOf": [scalar, {"type": "array", "items": scalar}]}
    keys: dict[str, Any] = {
        "distribution": {"enum": list(DISTRIBUTIONS)},
        "value": scalar,
        "values": {"type": "array", "items": scalar, "minItems": 1},
        "probabilities": {"type": "array", "items": number},
        "when": {"type": "object", "additionalProperties": one_or_more},
    }
    keys |= dict.fromkeys(("min", "max", "q", "mu", "sigma", "a", "b"), number)
    return {"type": "object", "additionalProperties": False, "properties": keys}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    found = model.model_json_schema()
    for field in found["properties"].values():
        field.pop("title", None)
        field.pop("default", None)
    kept = ("type", "description", "properties", "additionalProperties")
    return {key: found[key] for key in kept if key in found}


if __name__ == "__main__":
    print(schema_text(), end="")
