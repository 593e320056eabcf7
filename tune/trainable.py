"""What Ray Tune calls in a worker: a trial that reports to Ray."""

from __future__ import annotations

import os
from typing import Any

import ray
import torch
from ray import tune as ray_tune

from tune.probe import say_unfit
from tune.trial import HALT, KIND, READY, run_trial

__all__ = ["NodeFaultError", "train"]

_SECONDS_TO_CLEAR_UP = "60"  # Ray's own 2 are not enough on a machine that is busy


class NodeFaultError(Exception):
    """This node is at fault, as was reported. Ray must not use the process again."""


def train(config: dict[str, Any]) -> None:
    """Run one trial; see :func:`tune.trial.run_trial`.

    A node of a cluster may have joined after all others were looked at. If it is not fit, or
    cannot go on, no trial fails for it: another node may be better.

    Args:
        config: Plain data, made by ``tune.executor.Job.config``.

    Raises:
        NodeFaultError: On a cluster, where a Ray of our own would end the search.
    """
    # a trial that was stopped clears up before its process can take another
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", _SECONDS_TO_CLEAR_UP)
    is_joined = config.get("marks") is not None
    faults: list[str] = []

    def report(sent: dict[str, Any]) -> None:
        if HALT in sent and is_joined:
            faults.append(f"node {ray.util.get_node_ip_address()}: {sent[HALT]}")
            sent = sent | {HALT: faults[-1]}
        ray_tune.report(sent)

    unfit = say_unfit(config["marks"], config["versions"]) if is_joined else ""
    if unfit:
        report({HALT: unfit, KIND: "unfit"})
    else:
        run_trial(config, report, lambda: ray_tune.report({READY: _gpus()}))
    if faults:
        raise NodeFaultError(faults[0])


def _gpus() -> str:
    """Which of the machine's GPUs Ray has given to this process; empty for none."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "") if torch.cuda.is_available() else ""
