"""torchio's SubjectsDataset with its random transforms: a library for volumes, fed with slices."""

from __future__ import annotations

import argparse
from typing import Any

from rounds import AUGMENTATION, read_options, read_slices, repeated, serve


def build_loader(options: argparse.Namespace) -> Any:
    import torch
    import torchio

    images, masks = read_slices(options.data)
    known, size = AUGMENTATION, images.shape[1]
    shift = known["shift"] * size
    near_one = (1 - known["zoom"], 1 + known["zoom"])
    changes = torchio.Compose(
        [
            torchio.RandomFlip(axes=(1,), flip_probability=known["flip"]),
            torchio.RandomAffine(
                scales=(*near_one, *near_one, 1, 1),
                degrees=(0, 0, 0, 0, -known["rotation_deg"], known["rotation_deg"]),
                translation=(-shift, shift, -shift, shift, 0, 0),
            ),
        ]
    )
    subjects = [
        torchio.Subject(
            image=torchio.ScalarImage(tensor=torch.from_numpy(image).permute(2, 0, 1)[..., None]),
            label=torchio.LabelMap(tensor=torch.from_numpy(mask)[None, ..., None]),
        )
        for image, mask in zip(images, masks, strict=True)
    ]
    dataset = torchio.SubjectsDataset(subjects, transform=changes)
    return torchio.SubjectsLoader(dataset, batch_size=options.batch, shuffle=True, num_workers=0)


def main() -> None:
    options = read_options()
    import torch
    import torchio

    torch.set_num_threads(1)
    loader = build_loader(options)

    def one_pass() -> int:
        return sum(len(batch["image"][torchio.DATA]) for batch in loader)

    facts = {"versions": f"torchio {torchio.__version__}, torch {torch.__version__}"}
    serve(facts, repeated(one_pass))


if __name__ == "__main__":
    main()
