from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

import pytest

from seglib.allocator import ONE_HEAP, keep_freed_memory

# Prints page faults of each of four rounds, and the resident MB before, after, and given back.
ROUNDS = """
import json, resource, sys, threading
from pathlib import Path
from seglib.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def rounds():
    {start}
    before, found = resident_mb(), []
    for _ in range(4):
        began = faults()
        {work}
        found.append(faults() - began)
    after = resident_mb()
    {end}
    print(json.dumps([found, before, after, resident_mb()]))

if "keep" in sys.argv:
    assert keep_freed_memory() and keep_freed_memory()
if "thread" in sys.argv:
    one = threading.Thread(target=rounds)
    one.start()
    one.join()
else:
    rounds()
"""
PLAIN = ROUNDS.format(
    start="import ctypes",
    work="parts = [bytearray(size << 20) for size in (34, 3, 40)]; del parts",
    end="ctypes.CDLL(None).malloc_trim(0)",
)
STEPS = ROUNDS.format(
    start="""
    import torch
    from seglib.memory import give_back
    from seglib.recipe import Recipe
    from seglib.unet import UNet
    torch.set_num_threads(1)
    model = UNet(Recipe(base_filters=16, depth=1), num_channels=1, num_logits=1)
    image = torch.rand(8, 1, 256, 256)
    model(image[:1])[0].sum().backward()""",
    work="model(image)[0].mean().backward()",
    end='give_back(torch.device("cpu"))',
)

on_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="asks glibc",
)


def run(script: str, *words: str) -> tuple[list[int], float, float, float]:
    """Faults of the later rounds, resident MB before and after, and with memory given back."""
    one_thread = {"OMP_NUM_THREADS": "1", **ONE_HEAP}
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True, text=True, check=True, env=os.environ | one_thread,
    )  # fmt: skip
    faults, before, after, at_last = json.loads(done.stdout)
    return faults[2:], before, after, at_last


@on_glibc
@pytest.mark.parametrize("where", ["main", "thread"])
def test_memory_freed_is_used_again_without_page_faults(where: str) -> None:
    without, *_ = run(PLAIN, where)
    kept, *_ = run(PLAIN, where, "keep")
    assert 5 * sum(kept) < sum(without)


@on_glibc
def test_memory_kept_is_given_back_when_asked_for() -> None:
    _, before, after, at_last = run(PLAIN, "main", "keep")
    assert after > before + 50
    assert at_last < before + 20


@on_glibc
@pytest.mark.slow
def test_training_step_has_few_page_faults_and_gives_back_at_its_end() -> None:
    without, *_ = run(STEPS, "thread")
    kept, before, after, at_last = run(STEPS, "thread", "keep")
    assert 5 * sum(kept) < sum(without)
    assert at_last - before < 0.2 * (after - before)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
