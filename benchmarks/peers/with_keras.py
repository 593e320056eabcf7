"""Keras as the lab used it: its U-Net, ImageDataGenerator for image and mask, `fit` with Adam.

Binary cross-entropy and no metric, which is the least that the lab computed. A step is the
graph that `fit` compiles; threads and core are those that the driver set.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from rounds import AUGMENTATION, read_options, read_slices, repeated, serve, widths

os.environ |= {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def build_unet(options: argparse.Namespace, size: int) -> Any:
    """The lab's: blocks of two convolutions with batch norm, pools, transposed convolutions."""
    from keras import Input, Model, layers

    def block(x: Any, width: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal")(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return x

    def dropped(x: Any) -> Any:
        return layers.Dropout(options.dropout)(x) if options.dropout else x

    x = image = Input((size, size, 1))
    *outer, inner = widths(options)
    skips = []
    for width in outer:
        skips.append(block(x, width))
        x = dropped(layers.MaxPooling2D(2)(skips[-1]))
    x = block(x, inner)
    for width, skip in zip(reversed(outer), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = block(dropped(layers.concatenate([x, skip])), width)
    return Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def batches(options: argparse.Namespace) -> tuple[Iterator[Any], int]:
    """Two generators with one seed, side by side, as Keras's own documents have it."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    images, masks = read_slices(options.data)
    known = AUGMENTATION
    changes = {
        "rotation_range": known["rotation_deg"],
        "width_shift_range": known["shift"],
        "height_shift_range": known["shift"],
        "zoom_range": known["zoom"],
        "horizontal_flip": True,
        "fill_mode": "constant",
    }
    flow = {"batch_size": options.batch, "seed": 0}
    image_flow = ImageDataGenerator(rescale=1 / 255, **changes).flow(images, **flow)
    mask_flow = ImageDataGenerator(interpolation_order=0, **changes).flow(masks[..., None], **flow)

    def pairs() -> Iterator[Any]:  # `fit` takes a generator, no zip
        yield from zip(image_flow, mask_flow, strict=True)

    return pairs(), len(images)


def main() -> None:
    options = read_options("unet")
    import keras

    pairs, count = batches(options)
    steps = -(-count // options.batch)
    tensorflow = version("tensorflow-cpu")
    facts: dict[str, Any] = {"versions": f"Keras {keras.__version__}, TensorFlow {tensorflow}"}
    if options.what == "input":

        def one_pass() -> int:
            return sum(len(image) for image, _ in itertools.islice(pairs, steps))

        serve(facts, repeated(one_pass))
        return
    model = build_unet(options, read_slices(options.data)[0].shape[1])
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss="binary_crossentropy")

    def one_epoch() -> int:
        model.fit(pairs, steps_per_epoch=steps, verbose=0)
        return count

    facts["parameters"] = sum(int(one.numpy().size) for one in model.trainable_weights)
    serve(facts, one_epoch)


if __name__ == "__main__":
    main()
