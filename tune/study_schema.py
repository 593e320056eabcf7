"""The JSON schema of study files and suites, made from the models, so that an editor knows them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from seglib.recipe import Recipe
from tune.distributions import DISTRIBUTIONS
from tune.study_file import PARTS
from tune.study_layers import IGNORED
from tune.study_parts import Head, SuiteHead, SuiteStudy

__all__ = ["schema", "schema_text"]

POINTS = (
    "tried first; in a grid, a point that is a row of the product names it, and any other is "
    "a row beside it, whose values may be any that the field allows"
)
_SCALAR = {"type": ["string", "number", "boolean", "null"]}


def schema() -> dict[str, Any]:
    """The schema of a study file, or of a suite if it has ``studies``; JSON Schema 2020-12."""
    study, defs = _study()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "segtune study file or suite",
        "type": "object",
        "if": {"required": ["studies"]},
        "then": {"$ref": "#/$defs/suite"},
        "else": {"$ref": "#/$defs/study"},
        "$defs": {
            **defs,
            "study": study,
            "suite": _model(SuiteHead),
            "SuiteStudy": _model(SuiteStudy),  # pydantic's name for it
        },
    }


def schema_text() -> str:
    """The schema as the text of ``searchspaces/schema.json``."""
    return json.dumps(schema(), indent=2) + "\n"


def _study() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a study file, and what it refers to."""
    parts = {key: _model(model) for key, model in PARTS.items()}
    head = _model(Head)["properties"]
    points: dict[str, Any] = {"type": "array", "items": _fields({"$ref": "#/$defs/scalar"})}
    points["description"] = POINTS
    points["items"]["properties"]["name"] = {"description": "grid only: what the row is called"}
    body = {**head, **parts, "parameters": _fields({"$ref": "#/$defs/parameter"}), "points": points}
    body |= {key: {"description": "W&B's; ignored here"} for key in IGNORED}
    # each part is written once and referred to twice, from the top and from the demo part
    refs = {key: {"$ref": f"#/$defs/part-{key}"} for key in body}
    demo: dict[str, Any] = {"type": ["object", "boolean"], "additionalProperties": False}
    demo |= {"description": "laid over the rest when no data is given", "properties": refs}
    study: dict[str, Any] = {
        "type": "object",
        "required": ["method", "parameters"],
        "additionalProperties": False,
        "properties": {**refs, "demo": demo},
    }
    defs = {f"part-{key}": part for key, part in body.items()}
    return study, {"scalar": _SCALAR, "parameter": _parameter(), **defs}


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
    kept = ("type", "description", "required", "properties", "additionalProperties")
    return {key: found[key] for key in kept if key in found}


if __name__ == "__main__":
    print(schema_text(), end="")
