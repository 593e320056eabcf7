"""Can a recipe run here? Answered on paper, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from seglib.cost import count_parameters, estimate_memory_gb
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe
from tune.study_parts import Constraints

__all__ = ["why_infeasible"]


def why_infeasible(
    recipe: Recipe,
    constraints: Constraints,
    *,
    channels: Sequence[str],
    num_logits: int,
    image_size: int,
) -> str:
    """The first reason why a recipe cannot run, or an empty text.

    Args:
        recipe: The proposal.
        constraints: The study's limits.
        channels: Names of the data's channels.
        num_logits: Output channels of the network.
        image_size: Side of the image in pixels.

    Returns:
        The reason, in words for the user.
    """
    if image_size < 2 ** (recipe.depth + 1):
        return f"depth {recipe.depth} leaves less than 2 pixels of a {image_size} px image"
    try:
        num_channels = len(recipe.seen_channels(channels))
    except InfeasibleError as error:
        return str(error)
    parameters = count_parameters(recipe, num_channels=num_channels, num_logits=num_logits)
    if constraints.parameters is not None and parameters > constraints.parameters:
        return f"{parameters:,} parameters, at most {constraints.parameters:,} allowed"
    memory_gb = estimate_memory_gb(
        recipe, num_channels=num_channels, num_logits=num_logits, image_size=image_size
    )
    if constraints.memory_gb is not None and memory_gb > constraints.memory_gb:
        return f"{memory_gb:.1f} GB predicted, at most {constraints.memory_gb:g} GB allowed"
    return ""
