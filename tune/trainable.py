"""What Ray Tune calls in a worker: a trial that reports to Ray."""

from __future__ import annotations

from typing import Any

from ray import tune as ray_tune

from tune.trial import run_trial

__all__ = ["train"]


def train(config: dict[str, Any]) -> None:
    """Run one trial; see :func:`tune.trial.run_trial`.

    Args:
        config: Plain data, made by ``tune.executor.Job.config``.
    """
    run_trial(config, ray_tune.report)
