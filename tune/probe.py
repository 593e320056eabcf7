"""Is a node of a joined cluster fit for trials: the same versions, the same folders?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from seglib.errors import Problem, RunError
from seglib.files import write_whole
from tune.nodes import Node

__all__ = ["marked", "probe", "say_unfit", "versions_here"]

_SECONDS_TO_ANSWER = 120.0
_DISTRIBUTIONS: Final = ("segtune", "torch", "ray", "optuna")
_MARK = ".mark"


def versions_here() -> dict[str, str]:
    """Versions that must be the same on every node.

    Returns:
        Of Python and of what a trial uses; builds for one or another GPU are the same.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


@contextmanager
def marked(folders: Sequence[Path]) -> Iterator[dict[str, str]]:
    """Leave a small file in each folder, by which a node shows that it sees the same folder.

    Args:
        folders: Which exist.

    Yields:
        The folders and what stands in their files.
    """
    marks = {str(folder): secrets.token_hex(16) for folder in folders}
    for folder, mark in marks.items():
        write_whole(Path(folder) / _MARK, mark)
    try:
        yield marks
    finally:
        for folder in marks:
            with suppress(OSError):
                (Path(folder) / _MARK).unlink(missing_ok=True)


def _say_unseen(marks: Mapping[str, str]) -> list[str]:
    """A few words on each folder that is not what the driver sees, or takes no files."""
    faults = []
    for folder, mark in marks.items():
        beside = Path(folder) / f"{_MARK}-{secrets.token_hex(8)}"
        try:
            if (Path(folder) / _MARK).read_text(encoding="utf-8") != mark:
                faults.append(f"another folder by the name of {folder}")
                continue
            beside.write_text(mark, encoding="utf-8")
            beside.unlink()
        except FileNotFoundError:
            faults.append(f"no {folder}, or an empty one")
        except OSError as error:
            faults.append(f"{folder}: {error.strerror}")
    return faults


def say_unfit(marks: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Why no trial shall run here: what :func:`probe` asks, of a node that joined later.

    Args:
        marks: Made by :func:`marked`, elsewhere.
        versions: Of the driver.

    Returns:
        All faults in a line; empty when there is none.
    """
    answer = {"versions": versions_here(), "unseen": _say_unseen(marks)}
    problems = _faults("", answer, versions)
    return "; ".join(f"found {one.found}, wanted {one.wanted}" for one in problems)


def _look_around(marks: dict[str, str], has_gpu: bool) -> dict[str, Any]:
    """Runs on a node: what is there?"""
    memory_gb = None
    if has_gpu:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides them from who asked for none
        import torch

        sizes = [
            torch.cuda.get_device_properties(number).total_memory
            for number in range(torch.cuda.device_count())
        ]
        memory_gb = min(sizes) / 1e9 if sizes else None
    return {"versions": versions_here(), "unseen": _say_unseen(marks), "gpu_memory_gb": memory_gb}


def probe(nodes: Sequence[Node], folders: Sequence[Path]) -> tuple[Node, ...]:
    """Look at every node from within: versions, shared folders, memory of its GPUs.

    Args:
        nodes: Those on which trials may run.
        folders: What each must see as this process does, and be able to write to.

    Returns:
        The nodes with the memory of their GPUs.

    Raises:
        RunError: All faults of all nodes.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with marked(folders) as marks:
        look = ray.remote(num_cpus=0, max_retries=0)(_look_around)
        asked = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node.identity, soft=False)
            asked[node] = look.options(scheduling_strategy=there).remote(marks, node.gpus > 0)
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_SECONDS_TO_ANSWER)
        answers = {node: _answer(reference) for node, reference in asked.items()}
    here = versions_here()
    problems = [
        one
        for node, answer in answers.items()
        for one in _faults(f"{node.address} {node.hostname}".strip(), answer, here)
    ]
    if problems:
        raise RunError("nodes of the cluster", problems)
    return tuple(replace(one, gpu_memory_gb=answers[one]["gpu_memory_gb"]) for one in nodes)


def _answer(reference: Any) -> dict[str, Any]:
    """What a node said, or why it said nothing."""
    import ray

    try:
        answer: dict[str, Any] = ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return {"error": f"no answer within {_SECONDS_TO_ANSWER:.0f} s"}
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        missing = next((line for line in lines if "ModuleNotFoundError" in line), lines[-1])
        return {"error": missing}
    return answer


def _faults(place: str, answer: Mapping[str, Any], versions: Mapping[str, str]) -> list[Problem]:
    if "error" in answer:
        hint = "install on every node what the driver has, and see that the node lives"
        return [Problem(place, answer["error"], "a node that runs segtune", hint)]
    problems = []
    for name, wanted in versions.items():
        if (found := answer["versions"].get(name)) != wanted:
            hint = "trials of different versions do not compare: install the same on every node"
            problems.append(Problem(place, f"{name} {found}", f"{name} {wanted}", hint))
    hint = "--out, or --storage-path, on storage that all nodes see under the same path"
    wanted = "the same folder as here, to write to"
    return problems + [Problem(place, found, wanted, hint) for found in answer["unseen"]]
