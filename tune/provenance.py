"""Provenance: the versions, machine and commit that a search runs with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["describe_provenance"]

_VERSIONS = ("segtune", "torch", "ray", "optuna", "albumentations", "numpy", "pandas", "wandb")


def describe_provenance() -> dict[str, Any]:
    """What this process runs with, as plain data for ``environment.json``."""
    from seglib.device import choose_device, device_name  # torch, which reading needs not

    return {
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "device": device_name(choose_device()),
        "cores": len(os.sched_getaffinity(0)),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the source that runs, where it is a git checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
