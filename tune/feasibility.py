"""Can a recipe run here? Answered on paper, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from seglib.architectures import why_impossible
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
    on_gpu: bool = False,
) -> str:
    """The first reason why a recipe cannot run, or an empty text.

    Args:
        recipe: The proposal.
        constraints: The study's limits.
        channels: Names of the data's channels.
        num_logits: Output channels of the network.
        image_size: Side of the image in pixels.
        on_gpu: Where trials train: what memory means depends on it.

    Returns:
        The reason, in words for the user.
    """
    if reason := why_impossible(recipe, image_size):
        return reason
    try:
        num_channels = len(recipe.seen_channels(channels))
    except InfeasibleError as error:
        return str(error)
    sizes = {"num_channels": num_channels, "num_logits": num_logits}
    parameters = count_parameters(recipe, **sizes)
    if constraints.parameters is not None and parameters > constraints.parameters:
        return f"{parameters:,} parameters, at most {constraints.parameters:,} allowed"
    memory_gb = estimate_memory_gb(recipe, **sizes, image_size=image_size, on_gpu=on_gpu)
    if constraints.memory_gb is not None and memory_gb > constraints.memory_gb:
        return f"{memory_gb:.3g} GB predicted, at most {constraints.memory_gb:g} GB allowed"
    return ""
