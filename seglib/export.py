"""Export: a model as one network for other programs, and proof that it still says the same.

What is written takes an image as the model's networks see it and gives probabilities, the
mean over all networks of the model: see :class:`seglib.averaged.Averaged`. It is held
against the model before it counts. See decision 037.
"""

from __future__ import annotations

import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from seglib.averaged import Averaged, describe_interface, side_multiple, to_input
from seglib.errors import Problem, RunError
from seglib.model import Model

__all__ = [
    "LARGEST_DIFFERENCE",
    "largest_difference",
    "require_onnx",
    "require_parity",
    "run_onnx",
    "run_torch",
    "write_onnx",
    "write_torch",
]

LARGEST_DIFFERENCE = 1e-4
"""Of a probability; what differs by more is not the same network and is not written."""

OPSET = 18
"""Of ONNX: what runtimes since 2023 read."""

Runner = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def write_onnx(model: Model, notes: Mapping[str, str]) -> bytes:
    """The model as an ONNX file, which needs nothing of this project.

    Args:
        model: The model.
        notes: Texts that go into the file's metadata, beside the interface.

    Returns:
        The file's content.

    Raises:
        RunError: The extra ``export`` is not installed.
    """
    require_onnx()
    program, image = _trace(model), _example(model)
    with _quiet():
        exported = torch.onnx.export(
            program,
            (image,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            verbose=False,
        )
        assert exported is not None
        proto = exported.model_proto
    # the exporter's notes on how it came to each node: of no use to those who run it
    for part in (proto.graph, *proto.graph.node, *proto.graph.initializer):
        part.ClearField("metadata_props")
    sides = ["height", "width"] if side_multiple(model) else [None, None]
    for value in (proto.graph.input[0], proto.graph.output[0]):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip((0, 2, 3), ("batch", *sides), strict=True):
            if name is not None:
                axes[axis].dim_param = name
    written = {"segtune": json.dumps(describe_interface(model)), **notes}
    for key, text in written.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, text
    return bytes(proto.SerializeToString())


def write_torch(model: Model, notes: Mapping[str, str]) -> bytes:
    """The model as ``torch.export`` writes it: for PyTorch without this project.

    Args:
        model: The model.
        notes: Texts that go into the file, beside the interface.

    Returns:
        The file's content.
    """
    program, file = _trace(model), io.BytesIO()
    written = {"segtune": json.dumps(describe_interface(model)), **notes}
    with _quiet():
        torch.export.save(program, file, extra_files=written)
    return file.getvalue()


def run_onnx(content: bytes) -> Runner:
    """ONNX Runtime on the CPU, as another program would run it.

    Args:
        content: Of the file.

    Returns:
        From images to probabilities.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run(["probabilities"], {"image": image})[0]
        return found

    return run


def run_torch(content: bytes) -> Runner:
    """What was saved, loaded again.

    Args:
        content: Of the file.

    Returns:
        From images to probabilities.
    """
    with _quiet():
        module = torch.export.load(io.BytesIO(content)).module()

    def run(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            found: npt.NDArray[np.float32] = module(torch.from_numpy(image)).numpy()
        return found

    return run


def largest_difference(run: Runner, model: Model, images: npt.NDArray[np.uint8]) -> float:
    """How far an exported network is from the model, on images: all at once and one by one.

    Where it takes other sizes, a strip of the images is compared, too.

    Args:
        run: The exported network.
        model: What it must agree with.
        images: As a store holds them.

    Returns:
        The largest difference of any probability; NaN if one is no number.
    """
    network, batch, multiple = Averaged(model), to_input(model, images), side_multiple(model)
    parts = [batch, *(batch[number : number + 1] for number in range(len(batch)))]
    if multiple is not None:
        parts.append(np.ascontiguousarray(batch[:, :, : 2 * multiple]))
    worst = 0.0
    for part in parts:
        with torch.no_grad():
            wanted = network(torch.from_numpy(part)).numpy()
        found = run(part)
        if found.shape != wanted.shape:
            return math.nan
        worst = max(worst, float(np.abs(found - wanted).max()))
    return worst


def require_parity(name: str, difference: float) -> None:
    """Refuse an exported network that is not the model.

    Args:
        name: Of its file.
        difference: Of :func:`largest_difference`.

    Raises:
        RunError: It is too large, or no number.
    """
    if difference <= LARGEST_DIFFERENCE:
        return
    found = f"probabilities that differ by {difference:.2g} from those of the model"
    raise RunError(name, [Problem("export", found, f"at most {LARGEST_DIFFERENCE:g}")])


def require_onnx() -> None:
    """See that what writes and runs ONNX is there.

    Raises:
        RunError: It is not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        problem = Problem(
            "--format onnx",
            f"no library {error.name}",
            "pip install -e '.[export]' in segtune's checkout",
        )
        raise RunError("export", [problem]) from None


def _example(model: Model) -> Tensor:
    """An image batch to follow through the networks."""
    size = model.inputs.image_size
    return torch.zeros(2, len(model.seen_channels), size, size)


def _trace(model: Model) -> ExportedProgram:
    """The networks as a graph whose batch, and where it is exact whose sides, may vary."""
    axes: dict[int, Any] = {0: Dim("batch")}
    multiple = side_multiple(model)
    if multiple is not None:
        axes |= {2: multiple * Dim("height", min=2), 3: multiple * Dim("width", min=2)}
    with _quiet():
        program = torch.export.export(
            Averaged(model), (_example(model),), dynamic_shapes={"image": axes}
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
