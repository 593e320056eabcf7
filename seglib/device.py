"""The machine under a training run: which device, which number format, how much memory."""

from __future__ import annotations

import resource
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from seglib.processor import has_fast_bf16, processor_name

__all__ = [
    "auto_precision",
    "build_autocast",
    "choose_device",
    "choose_dtype",
    "device_name",
    "peak_memory_mb",
    "reset_peak_memory",
]


def choose_device() -> torch.device:
    """The first CUDA device this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """What a device is called: times mean nothing without it.

    Args:
        device: A GPU or the CPU.

    Returns:
        The maker's name of the model, where the system tells it.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Number format of the forward pass.

    Args:
        precision: ``Recipe.precision``.
        device: Where the network runs.

    Returns:
        float32, float16 or bfloat16.
    """
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return named[auto_precision(device) if precision == "auto" else precision]


def auto_precision(device: torch.device) -> str:
    """What ``precision: auto`` means on a device.

    Bfloat16 on a GPU or a CPU that has it, float16 on an older GPU, and float32 on an older
    CPU, where half precision is several times slower. See decision 024.

    Args:
        device: Where the network runs.

    Returns:
        ``bf16``, ``fp16`` or ``fp32``.
    """
    if device.type != "cuda":
        return "bf16" if has_fast_bf16() else "fp32"
    # is_bf16_supported() says yes of GPUs that only emulate it, slowly
    is_new = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
    return "bf16" if is_new else "fp16"


def build_autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which forward passes run in the format of :func:`choose_dtype`.

    Args:
        precision: ``Recipe.precision``.
        device: Where the network runs.

    Returns:
        The context; it may be entered again and again.
    """
    dtype = choose_dtype(precision, device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement for :func:`peak_memory_mb`, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb(device: torch.device) -> float:
    """Most memory used since the reset: of the device on a GPU, of the process on a CPU.

    Args:
        device: Where the network runs.

    Returns:
        MiB.
    """
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) / 2**10
