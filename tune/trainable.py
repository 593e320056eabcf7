"""What Ray Tune calls in a worker: a trial that reports to Ray."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune as ray_tune

from tune.probe import say_unfit
from tune.trial import HALT, run_trial

__all__ = ["train"]


def train(config: dict[str, Any]) -> None:
    """Run one trial; see :func:`tune.trial.run_trial`.

    A node of a cluster may have joined after all others were looked at. If it is not fit, no
    trial fails for it: the search ends, and says which node to mend.

    Args:
        config: Plain data, made by ``tune.executor.Job.config``.
    """
    if config.get("marks") is not None:
        faults = say_unfit(config["marks"], config["versions"])
        if faults:
            ray_tune.report({HALT: f"node {ray.util.get_node_ip_address()}: {faults}"})
            return
    run_trial(config, ray_tune.report)
