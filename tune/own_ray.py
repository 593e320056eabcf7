"""A Ray of our own: none but the processes that a search on one machine needs, and those early.

Ray starts five Python programs beside its two of C++: a monitor for clusters that grow, a
server for web pages, a monitor of logs, and two agents. None of them does anything for us,
all of them import Ray on the very cores that are to train, and Ray waits for three of them.
All names in here are Ray's inner ones. The version is pinned, and a test looks at which
processes there are. See docs/decisions/027.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

__all__ = ["careful_groups", "lean_start", "plain_workers", "take_up_environment"]

PRELOADED = ("tune.trainable", "albumentations")
"""What a worker imports before it is asked for anything, while the driver is not ready yet."""

_AGENT = "cat"
"""Stands for an agent: Ray's node process wants one, and closes its input when it ends."""
_REPLACED = {
    "--dashboard_agent_command": _AGENT,
    "--runtime_env_agent_command": _AGENT,
    "--metrics-agent-port": "-1",  # with 0 Ray would wait to be told
    "--metrics_export_port": "-1",
    "--runtime_env_agent_port": "-1",
}
_PRELOAD = "RAY_preload_python_modules"


def take_up_environment() -> None:
    """Ray reads its settings when it is imported, which may have been before they were made.

    When it starts, it would take SIGTERM for itself, which is ours, and its processes
    would get what is sent to our process group: they are to end after us, not with us.
    """
    raylet: Any = importlib.import_module("ray._raylet")  # compiled, without types
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    inside: Any = importlib.import_module("ray._private.utils")
    inside.set_sigterm_handler = lambda handler: None
    services: Any = importlib.import_module("ray._private.services")
    services.ConsolePopen = partial(subprocess.Popen, process_group=0)


@contextmanager
def lean_start(workers: int) -> Iterator[None]:
    """Within this, Ray starts without what no search on one machine needs.

    Args:
        workers: Processes that are started at once and import what a trial needs.

    Yields:
        Nothing.
    """
    node: Any = importlib.import_module("ray._private.node")
    parameter: Any = importlib.import_module("ray._private.parameter")
    services: Any = importlib.import_module("ray._private.services")
    few = partial(parameter.RayParams, no_monitor=True, include_log_monitor=False)
    with (
        _instead(node.Node, start_api_server=lambda self, **options: None),
        _instead(parameter, RayParams=few),
        _instead(services, ConsolePopen=partial(_start, workers=workers)),
    ):
        before = os.environ.get(_PRELOAD)
        os.environ[_PRELOAD] = ",".join(PRELOADED)
        try:
            yield
        finally:
            del os.environ[_PRELOAD]
            if before is not None:
                os.environ[_PRELOAD] = before


@contextmanager
def plain_workers() -> Iterator[None]:
    """Within this, Tune asks for the workers that were started early, and for no others.

    It would set variables of the environment for its own: with these a worker would have
    to be started anew. A worker of our Ray inherits all of them from this process.

    Yields:
        Nothing.
    """
    cache: Any = importlib.import_module("ray.tune.execution.class_cache")
    with _instead(cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=frozenset()):
        yield


@contextmanager
def careful_groups(require: Callable[[], None]) -> Iterator[None]:
    """Within this, Tune reserves and frees the place of a trial only after a question.

    Both wait in C++ for a control process, also for one that is dead.

    Args:
        require: Asked before each; raises where nobody would answer.

    Yields:
        Nothing.
    """
    makes: Any = importlib.import_module("ray.air.execution.resources.request")
    frees: Any = importlib.import_module("ray.air.execution.resources.placement_group")

    def after_asking(act: Callable[..., Any]) -> Callable[..., Any]:
        def ask_and_act(*arguments: Any, **options: Any) -> Any:
            require()
            return act(*arguments, **options)

        return ask_and_act

    with (
        _instead(makes, placement_group=after_asking(makes.placement_group)),
        _instead(frees, remove_placement_group=after_asking(frees.remove_placement_group)),
    ):
        yield


@contextmanager
def _instead(place: Any, **others: Any) -> Iterator[None]:
    """Within this, ``place`` has other things by these names."""
    before = {name: getattr(place, name) for name in others}
    try:
        for name, other in others.items():
            setattr(place, name, other)
        yield
    finally:
        for name, own in before.items():
            setattr(place, name, own)


def _start(command: Sequence[str], *, workers: int, **options: Any) -> subprocess.Popen[bytes]:
    """Start one of Ray's processes; that of the node is told what not to start itself."""
    if any(word.startswith("--raylet_socket_name") for word in command):
        replaced = _REPLACED | {"--num_prestart_python_workers": str(workers)}
        command = [_replace(word, replaced) for word in command]
        command.append("--dashboard_agent_listen_port=-1")
    return subprocess.Popen(command, process_group=0, **options)


def _replace(word: str, replaced: dict[str, str]) -> str:
    name, _, _ = word.partition("=")
    return f"{name}={replaced[name]}" if name in replaced else word
