"""Models whose networks were never trained: as good as any where only the way is tested."""

from __future__ import annotations

from typing import Any

import torch

from seglib.data.store import Store
from seglib.model import InputSpec, Member, Model, PostProcess
from seglib.networks import build_network
from seglib.recipe import Recipe
from seglib.target import Target

BINARY = Target(kind="binary", classes=("thing",), values={0: 0, 255: 1}, members=((1,),))
REGIONS = Target(
    kind="regions",
    classes=("WT", "TC", "ET"),
    values={0: 0, 2: 1, 1: 2, 4: 3},
    members=((1, 2, 3), (2, 3), (3,)),
)
LUNGS = Target(
    kind="organs",
    classes=("left_lung", "right_lung"),
    values={0: 0, 156: 1, 251: 2},
    members=((1,), (2,)),
)


def input_spec(**fields: Any) -> InputSpec:
    plain = {
        "channels": ("grey",),
        "target": BINARY,
        "image_size": 32,
        "normalise": "percentile",
        "window_hu": (-1000.0, 400.0),
        "layout": "pairs",
        "unit": "px",
    }
    return InputSpec(**(plain | fields))


def model_of(inputs: InputSpec | Store, *recipes: Recipe, post: PostProcess | None = None) -> Model:
    """One network for each recipe, its weights drawn from its place in the list."""
    spec = InputSpec.of(inputs.info) if isinstance(inputs, Store) else inputs
    members = []
    for seed, recipe in enumerate(recipes or (Recipe(base_filters=2, depth=1),)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = build_network(
                recipe,
                num_channels=len(recipe.seen_channels(spec.channels)),
                num_logits=spec.target.num_logits,
            )
        members.append(Member(recipe, net.state_dict(), f"seed {seed}"))
    return Model(tuple(members), spec, post or PostProcess.plain(spec.target), {})
