"""Memory: what running out of it looks like, and half the size until it is enough."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Final, TypeVar

import torch

from seglib.architectures import means_something
from seglib.device import reset_peak_memory
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe

__all__ = ["give_back", "is_out_of_memory", "shrink_to_fit"]

Result = TypeVar("Result")

_ONEDNN: Final = "could not create a primitive"  # working memory of a convolution
_SIGNS: Final = (
    "out of memory",  # CUDA, where its allocator has no error class of its own
    "alloc_failed",  # cuBLAS, cuDNN
    "can't allocate memory",  # the CPU allocator on Linux and macOS
    "not enough memory",  # and on Windows
    "bad_alloc",
    _ONEDNN,
    "could not create a memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on a CPU.

    Libraries under torch have no class for it, so their words are read. A word that could
    mean something else costs a few vain attempts: the reason still comes out.

    Args:
        error: Whatever was raised.

    Returns:
        Yes or no.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def shrink_to_fit(
    attempt: Callable[[int], Result],
    size: int,
    *,
    most: int,
    recipe: Recipe,
    image_size: int,
    device: torch.device,
) -> Result:
    """Call ``attempt(size)``, and with half the size each time that memory runs out.

    An attempt must begin from the same state each time; between two of them all memory
    that nobody holds any more is given back. Halves are rounded up.

    Args:
        attempt: What needs memory in proportion to its argument.
        size: The first to try, at least 1.
        most: Above this all sizes are alike, so halving starts here.
        recipe: Its network is named when even a size of 1 does not fit.
        image_size: Side of the image in pixels, named there too.
        device: Where the memory is.

    Returns:
        What the first attempt that fitted gave.

    Raises:
        InfeasibleError: Memory ran out at a size of 1.
    """
    while True:
        try:
            return attempt(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        # Only here is the traceback gone, whose frames held the tensors of the attempt.
        give_back(device)
        if _ONEDNN in reason:
            # It keeps the failure in its cache and answers with it ever after, also when
            # there is memory again; torch gives no way to empty that cache.
            torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        if size == 1:
            raise InfeasibleError(
                f"out of memory with one image at a time; lower image_size {image_size}"
                f"{_other_ways(recipe)} ({reason})"
            )
        size = -(-min(size, most) // 2)


def _other_ways(recipe: Recipe) -> str:
    """What of the recipe makes a smaller network, or another one."""
    names = [
        f"{name} {getattr(recipe, name)}"
        for name in ("base_filters", "depth")
        if means_something(name, recipe.architecture)
    ]
    return f", {' or '.join(names)}" if names else f", or take another than {recipe.encoder}"


def give_back(device: torch.device) -> None:
    """Return to the system what nobody in this process holds any more.

    Python, torch and C's allocator keep it for later. That is quicker where the same is
    asked for again; it is lost to all others meanwhile.

    Args:
        device: Where the memory is.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    reset_peak_memory(device)
