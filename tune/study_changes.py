"""What became of a study file between two starts: two studies, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seglib.errors import Problem, RunError

__all__ = ["tell_changes"]

_FIXED = ("data", "split", "metric", "method", "seed")
_LONGEST = 120


def tell_changes(before: Mapping[str, Any], now: Mapping[str, Any], run: Path) -> list[str]:
    """What an edit changed; refused where old and new trials could not be compared.

    Args:
        before: The resolved study of the last start.
        now: The resolved study of this one.
        run: The run directory, for the message.

    Returns:
        One sentence for each setting that changed.

    Raises:
        RunError: Data, split, metric, method or seed differ.
    """
    old, new = _flat(dict(before)), _flat(dict(now))
    changed = [key for key in new | old if new.get(key) != old.get(key)]
    problems = [
        Problem(key, _brief(new.get(key)), _brief(old.get(key)))
        for key in changed
        if key.partition(".")[0] in _FIXED
    ]
    if problems:
        hint = "trials are only comparable under the same settings; give another name or --out"
        problems[-1] = replace(problems[-1], hint=hint)
        raise RunError(f"{run} holds another study", problems)
    return [_tell(key, old.get(key), new.get(key)) for key in changed]


def _tell(key: str, before: Any, now: Any) -> str:
    since = "since the last run"
    if before is None:
        return f"{key} is new {since}: {_brief(now)}"
    if now is None:
        return f"{key} is gone {since}, it was {_brief(before)}"
    return f"{key} changed {since}: {_brief(before)} -> {_brief(now)}"


def _flat(part: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(part, dict) or not part:
        return {path: part}
    flat: dict[str, Any] = {}
    for key, value in part.items():
        flat |= _flat(value, f"{path}.{key}" if path else str(key))
    return flat


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
