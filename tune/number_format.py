"""One number format for all trials of a search, whatever nodes they train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from seglib.recipe import Recipe
from tune.nodes import Node

__all__ = ["WEAKEST_FIRST", "NumberFormat", "formats_of", "named", "settle_format"]

WEAKEST_FIRST: Final = ("fp32", "fp16", "bf16")
_MOST_NAMED = 4


@dataclass(frozen=True)
class NumberFormat:
    """What ``precision: auto`` means in a search.

    Args:
        name: ``fp32``, ``fp16`` or ``bf16``.
        said: What the user should know of it; empty when all nodes agree.
    """

    name: str
    said: str = ""


def named(recipe: Recipe, name: str | None) -> Recipe:
    """The recipe with its number format by name.

    Args:
        recipe: Perhaps one that leaves the format to the device.
        name: What it is then; None to leave it so.

    Returns:
        The recipe as it is trained.
    """
    if name is None or recipe.precision != "auto":
        return recipe
    return Recipe.model_validate(recipe.model_dump() | {"precision": name})


def formats_of(nodes: Sequence[Node] | None, *, on_gpu: bool) -> dict[str, str]:
    """What ``auto`` would mean on each node.

    Args:
        nodes: Those that trials fit on, as a probe found them; None for this machine.
        on_gpu: Where trials train.

    Returns:
        Format by the node's address.
    """
    if nodes is None:
        import torch

        from seglib.device import auto_precision

        return {"this machine": auto_precision(torch.device("cuda" if on_gpu else "cpu"))}
    found = {one.address: one.gpu_format if on_gpu else one.cpu_format for one in nodes}
    return {address: name for address, name in found.items() if name}


def settle_format(
    own: Mapping[str, str], starts: Sequence[Mapping[str, Any]], *, on_gpu: bool
) -> NumberFormat | None:
    """The format that all trials get which leave it to the device.

    It is the one of the trials before, where the nodes have it; else what all nodes have.

    Args:
        own: What each node would take.
        starts: Records of the starts before.
        on_gpu: Where trials train.

    Returns:
        The format; None where no node is known.
    """
    if not own:
        return None
    ours = min(own.values(), key=WEAKEST_FIRST.index)
    before = next((s["auto_precision"] for s in reversed(starts) if "auto_precision" in s), None)
    if before is None or before == ours:
        if len(set(own.values())) == 1:
            return NumberFormat(ours)
        return NumberFormat(
            ours,
            f"number format: {ours} for all trials, as nodes differ in what they compute fast "
            f"({_say(own)})",
        )
    lacking = {at: name for at, name in own.items() if before not in _able(name, on_gpu=on_gpu)}
    if lacking:
        return NumberFormat(
            ours,
            f"warning: number format {ours} from now on: trials before had {before}, which nodes "
            f"here do not compute fast ({_say(lacking)}); the two do not compare well",
        )
    return NumberFormat(
        before,
        f"number format: {before}, as trials before had; the nodes here would take {ours}",
    )


def _able(name: str, *, on_gpu: bool) -> set[str]:
    """Formats that a node computes without detours, by the one that it would take."""
    return {name, "fp32", *(["fp16"] if on_gpu else [])}


def _say(formats: Mapping[str, str]) -> str:
    texts = []
    for name in dict.fromkeys(formats.values()):
        at = [address for address, one in formats.items() if one == name]
        more = f" and {len(at) - _MOST_NAMED} more" if len(at) > _MOST_NAMED else ""
        texts.append(f"{name} on {', '.join(at[:_MOST_NAMED])}{more}")
    return "; ".join(texts)
