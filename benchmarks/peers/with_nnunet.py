"""nnU-Net's 2-D network, loss and training step, on one thread.

`PlainConvUNet` with instance norm and deep supervision, Dice and cross-entropy, SGD with
Nesterov momentum 0.99, gradients clipped at 12: what `nnUNetTrainer` does on a CPU, where it
does not compile either. Width and depth are those of the comparison, not its planner's. Of its
augmentation only what all have (turn, zoom, flip; it has no shift), far less than its default,
and its loader's patches and processes are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from rounds import (
    AUGMENTATION,
    flop_of_step,
    num_parameters,
    read_options,
    read_slices,
    repeated,
    serve,
    widths,
)


def build_network(options: argparse.Namespace) -> Any:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from dynamic_network_architectures.initialization.weight_init import InitWeights_He
    from torch import nn

    levels = options.depth + 1
    network = PlainConvUNet(
        1,
        levels,
        widths(options),
        nn.Conv2d,
        3,
        [1] + [2] * options.depth,
        2,
        2,
        2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        dropout_op=nn.Dropout2d if options.dropout else None,
        dropout_op_kwargs={"p": options.dropout} if options.dropout else None,
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    return network.apply(InitWeights_He(1e-2))


def build_loss(levels: int) -> Any:
    """A weight for each output, finest first, halved from one to the next; the last has none."""
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    weights = np.array([1 / 2**level for level in range(levels)])
    weights[-1] = 0 if levels > 1 else 1
    overlap = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(overlap, {}, dice_class=MemoryEfficientSoftDiceLoss)
    return DeepSupervisionWrapper(loss, weights / weights.sum())


def build_transforms(levels: int, size: int) -> Any:
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
        DownsampleSegForDSTransform,
    )

    turn, zoom = np.deg2rad(AUGMENTATION["rotation_deg"]), AUGMENTATION["zoom"]
    move = SpatialTransform(
        (size, size),
        patch_center_dist_from_border=0,
        random_crop=False,
        p_elastic_deform=0,
        p_rotation=1,
        rotation=(-turn, turn),
        p_scaling=1,
        scaling=(1 - zoom, 1 + zoom),
        p_synchronize_scaling_across_axes=1,
        bg_style_seg_sampling=False,
    )
    scales = [[1 / 2**level] * 2 for level in range(levels)]
    return ComposeTransforms(
        [move, MirrorTransform(allowed_axes=(1,)), DownsampleSegForDSTransform(scales)]
    )


def batches(options: argparse.Namespace, rng: np.random.Generator) -> Iterator[Any]:
    """One pass over the slices; nnU-Net keeps images as normalised floats."""
    import torch

    images, masks = read_slices(options.data)
    real = (images[:, None, :, :, 0] - images.mean(dtype=np.float32)) / images.std(dtype=np.float32)
    change = build_transforms(options.depth, images.shape[1])
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order), options.batch):
            chosen = [
                change(
                    image=torch.from_numpy(real[row]),
                    segmentation=torch.from_numpy(masks[row, None].astype(np.int16)),
                )
                for row in order[start : start + options.batch]
            ]
            masks_of_levels = zip(*(one["segmentation"] for one in chosen), strict=True)
            yield (
                torch.stack([one["image"] for one in chosen]),
                [torch.stack(level) for level in masks_of_levels],
            )


def main() -> None:
    options = read_options("plain")
    import torch

    torch.set_num_threads(1)
    images = read_slices(options.data)[0]
    pairs = batches(options, np.random.default_rng(0))
    steps = -(-len(images) // options.batch)
    facts: dict[str, Any] = {"versions": f"nnU-Net {version('nnunetv2')}, torch {version('torch')}"}
    if options.what == "input":
        serve(facts, repeated(lambda: sum(len(next(pairs)[0]) for _ in range(steps))))
        return
    network, loss = build_network(options), build_loss(options.depth)
    optimizer = torch.optim.SGD(
        network.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True
    )
    facts["parameters"] = num_parameters(network)
    facts["flop"] = flop_of_step(network, images.shape[1])

    def one_epoch() -> int:
        network.train()
        for _ in range(steps):
            image, masks = next(pairs)
            optimizer.zero_grad(set_to_none=True)
            value = loss(network(image), masks)
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
            optimizer.step()
            value.detach().numpy()
        return len(images)

    serve(facts, one_epoch)


if __name__ == "__main__":
    main()
