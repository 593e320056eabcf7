"""Is a node of a joined cluster fit for trials: the same versions, the same folders or URLs?"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from seglib.errors import Problem, RunError, UnwritableError
from seglib.files import write_whole
from seglib.processor import processor_name
from tune.joined import environment_of_job
from tune.nodes import Node, find_lost
from tune.number_format import WEAKEST_FIRST
from tune.remote import Remote
from tune.urls import hide_password, is_url

__all__ = ["marked", "probe", "say_unfit", "versions_here"]

_SECONDS_TO_ANSWER = 120.0
_SECONDS_TO_INSTALL = 1800.0  # gigabytes, by Ray's runtime environment, before the first task
_SECONDS_BETWEEN_WORDS = 60.0
_SECONDS_FOR_A_URL = 10.0
_DISTRIBUTIONS: Final = ("segtune", "torch", "ray", "optuna")
_MARK = ".mark"

log = logging.getLogger("segtune")


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
def marked(places: Sequence[Path | str]) -> Iterator[dict[str, str]]:
    """Leave a small file in each place, by which a node shows that it sees the same one.

    Args:
        places: Folders which exist, and URLs of folders.

    Yields:
        The places and what stands in their files.

    Raises:
        UnwritableError: A place takes no file.
    """
    marks = {str(place): secrets.token_hex(16) for place in places}
    try:
        for place, mark in marks.items():
            if is_url(place):
                Remote(place).write(_at_url(mark), mark.encode())
            else:
                write_whole(Path(place) / _MARK, mark)
        yield marks
    finally:
        for place, mark in marks.items():
            with suppress(OSError, UnwritableError):
                if is_url(place):
                    Remote(place, _SECONDS_FOR_A_URL).remove(_at_url(mark))
                else:
                    (Path(place) / _MARK).unlink(missing_ok=True)


def _at_url(mark: str) -> str:
    """Nobody holds a lock there: another search's mark must stay."""
    return f"{_MARK}-{mark}"


def _say_unseen(marks: Mapping[str, str]) -> list[str]:
    """A few words on each place that is not what the driver sees, or takes no files."""
    faults = (
        _say_of_url(place, mark) if is_url(place) else _say_of_folder(Path(place), mark)
        for place, mark in marks.items()
    )
    return [fault for fault in faults if fault]


def _say_of_folder(folder: Path, mark: str) -> str:
    beside = folder / f"{_MARK}-{secrets.token_hex(8)}"
    try:
        if (folder / _MARK).read_text(encoding="utf-8") != mark:
            return f"another folder by the name of {folder}"
        beside.write_text(mark, encoding="utf-8")
        beside.unlink()
    except FileNotFoundError:
        return f"no {folder}, or an empty one"
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def _say_of_url(url: str, mark: str) -> str:
    """Also where the package for it or the keys are missing on this machine."""
    beside, shown = f"{_MARK}-{secrets.token_hex(8)}", hide_password(url)
    try:
        remote = Remote(url, _SECONDS_FOR_A_URL)
        if remote.read(_at_url(mark)) is None:
            return f"another place by the name of {shown}"
        remote.write(beside, mark.encode())
        remote.remove(beside)
    except RunError as error:
        return "; ".join(
            one.found + (f" ({one.hint})" if one.hint else "") for one in error.problems
        )
    except UnwritableError as error:
        return str(error)
    return ""


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
    if has_gpu:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides them from who asked for none
    import torch

    from seglib.device import auto_precision

    cards = [torch.device("cuda", n) for n in range(torch.cuda.device_count() if has_gpu else 0)]
    sizes = [torch.cuda.get_device_properties(card).total_memory for card in cards]
    return {
        "versions": versions_here(),
        "unseen": _say_unseen(marks),
        "facts": {
            "gpu_memory_gb": min(sizes) / 1e9 if sizes else None,
            "processor": processor_name(),
            "cpu_format": auto_precision(torch.device("cpu")),
            "gpu_format": min(map(auto_precision, cards), key=WEAKEST_FIRST.index, default=""),
        },
    }


def probe(nodes: Sequence[Node], places: Sequence[Path | str]) -> tuple[Node, ...]:
    """Look at every node from within: versions, shared places, what its devices are.

    Within a Ray job that has packages installed the first answer of a node comes after that.

    Args:
        nodes: Those on which trials may run.
        places: Folders and URLs that each must see as this process does, and be able to
            write to.

    Returns:
        The nodes with the memory of their GPUs, their processors and number formats; without
        those that died meanwhile, which is said.

    Raises:
        RunError: All faults of all nodes.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    patience_s = _SECONDS_TO_INSTALL if "pip" in environment_of_job() else _SECONDS_TO_ANSWER
    with marked(places) as marks:
        look = ray.remote(num_cpus=0, max_retries=0)(_look_around)
        asked = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node.identity, soft=False)
            asked[node] = look.options(scheduling_strategy=there).remote(marks, node.gpus > 0)
        _await_all(list(asked.values()), patience_s)
        answers = {node: _answer(reference, patience_s) for node, reference in asked.items()}
    for node in [node for node, answer in answers.items() if "error" in answer]:
        if lost := find_lost(node.identity):
            log.warning("node %s was lost before the search began", lost)
            del answers[node]
    here = versions_here()
    problems = [
        one
        for node, answer in answers.items()
        for one in _faults(f"{node.address} {node.hostname}".strip(), answer, here)
    ]
    if problems:
        raise RunError("nodes of the cluster", problems)
    return tuple(replace(node, **answer["facts"]) for node, answer in answers.items())


def _await_all(asked: list[Any], patience_s: float) -> None:
    import ray

    until = time.monotonic() + patience_s
    while (left_s := until - time.monotonic()) > 0:
        wait_s = min(left_s, _SECONDS_BETWEEN_WORDS)
        _, waiting = ray.wait(asked, num_returns=len(asked), timeout=wait_s)
        if not waiting:
            return
        log.warning(
            "waiting up to %.0f min for %d of %d nodes to install segtune or to answer",
            max(0.0, until - time.monotonic()) / 60,
            len(waiting),
            len(asked),
        )


def _answer(reference: Any, patience_s: float) -> dict[str, Any]:
    """What a node said, or why it said nothing."""
    import ray

    try:
        answer: dict[str, Any] = ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return {"error": f"no answer within {patience_s:.0f} s"}
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
    hint = "--out, or --storage-path, on storage that all nodes see under the same path or URL"
    wanted = "the same place as here, to write to"
    return problems + [Problem(place, found, wanted, hint) for found in answer["unseen"]]
