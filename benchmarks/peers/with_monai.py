"""MONAI's BasicUNet and DynUNet with CacheDataset, DataLoader and dict transforms.

The image is scaled before the cache, only what is random runs each epoch; one process, for one
core is measured. DiceCELoss on one sigmoid channel, Adam. DynUNet without deep supervision,
which is its default.
"""

from __future__ import annotations

import argparse
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
    from monai.networks.nets import BasicUNet, DynUNet

    filters = widths(options)
    if options.what == "basic":
        if options.depth != 4:
            raise SystemExit(f"depth: found {options.depth} ; wanted 4, BasicUNet has no other")
        return BasicUNet(
            spatial_dims=2,
            out_channels=1,
            features=(*filters, filters[0]),
            dropout=options.dropout,
        )
    strides = [1] + [2] * options.depth
    return DynUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * len(strides),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        dropout=options.dropout or None,
    )


def build_loader(options: argparse.Namespace) -> Any:
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        RandAffined,
        RandFlipd,
        ScaleIntensityRanged,
    )

    images, masks = read_slices(options.data)
    both, known, size = ("image", "label"), AUGMENTATION, images.shape[1]
    changes = Compose(
        [
            EnsureChannelFirstd(keys="image", channel_dim=-1),
            EnsureChannelFirstd(keys="label", channel_dim="no_channel"),
            ScaleIntensityRanged(keys="image", a_min=0, a_max=255, b_min=0, b_max=1),
            RandFlipd(keys=both, prob=known["flip"], spatial_axis=1),
            RandAffined(
                keys=both,
                prob=1.0,
                rotate_range=np.deg2rad(known["rotation_deg"]),
                translate_range=(known["shift"] * size,) * 2,
                scale_range=(known["zoom"],) * 2,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
        ]
    )
    slices = [{"image": image, "label": mask} for image, mask in zip(images, masks, strict=True)]
    cached = CacheDataset(slices, changes, num_workers=1, progress=False)
    return DataLoader(cached, batch_size=options.batch, shuffle=True, num_workers=0)


def main() -> None:
    options = read_options("basic", "dynamic")
    import monai
    import torch
    from monai.losses import DiceCELoss

    torch.set_num_threads(1)
    loader = build_loader(options)
    facts: dict[str, Any] = {"versions": f"MONAI {monai.__version__}, torch {torch.__version__}"}
    if options.what == "input":
        serve(facts, repeated(lambda: sum(len(batch["image"]) for batch in loader)))
        return
    network, loss = build_network(options), DiceCELoss(sigmoid=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    facts["parameters"] = num_parameters(network)
    facts["flop"] = flop_of_step(network, read_slices(options.data)[0].shape[1])

    def one_epoch() -> int:
        network.train()
        images = 0
        for batch in loader:
            optimizer.zero_grad()
            value = loss(network(batch["image"]), batch["label"])
            value.backward()
            optimizer.step()
            value.item()
            images += len(batch["image"])
        return images

    serve(facts, one_epoch)


if __name__ == "__main__":
    main()
