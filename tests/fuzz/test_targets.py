"""Hostile bytes in every file that a stranger may write: our own errors, and a bounded price."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.errors import DataError
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.targets import TARGETS, survive

LIGHT = [name for name in TARGETS if not name.startswith("run-")]
TAKES_TIME = ("long", "many", "deep", "merge")
"""Attacks that take up to seconds, though no longer: they wait for the slow tier."""

MOST_MB = 300

seeds = st.integers(0, 2**32 - 1)
laid: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def _folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    laid.clear()
    laid.update({name: tmp_path_factory.mktemp(name) for name in TARGETS})
    for name in LIGHT:
        TARGETS[name].lay(laid[name])


def attack(name: str, seed: int) -> None:
    target, rng = TARGETS[name], Random(seed)
    data = rng.choice(target.seeds())
    survive(target, target.mutate(data, rng), laid[name])


def attack_all(name: str) -> None:
    for what, data in HOSTILE[name]().items():
        if what.startswith(TAKES_TIME):
            continue
        try:
            survive(TARGETS[name], data, laid[name])
        except Exception as error:
            error.add_note(f"{name}: {what}")
            raise


@pytest.mark.parametrize("name", LIGHT)
def test_valid_files_are_read(name: str) -> None:
    for data in TARGETS[name].seeds()[:4]:
        fault = survive(TARGETS[name], data, laid[name])
        said = str(fault or "").splitlines()[1:]
        assert all(any(word in line for word in EXPECTED) for line in said), said


EXPECTED = ("a JPEG mask", "2 pages", "hint:", "patients", "modalities", "frames", "spacing",
            "palette colours", "grey values", "channel")  # fmt: skip
"""What may be said of whole files: they are read as masks and as parts of a stack, too."""


@pytest.mark.fault("parsers")
@pytest.mark.parametrize("name", HOSTILE)
def test_lies_and_bombs_are_refused_or_read(name: str) -> None:
    attack_all(name)


@pytest.mark.fault("parsers")
@pytest.mark.parametrize("name", LIGHT)
@given(seed=seeds)
@settings(max_examples=4, derandomize=True, deadline=None, database=None)
def test_damaged_files_are_refused_or_read(name: str, seed: int) -> None:
    attack(name, seed)


@pytest.mark.slow
@pytest.mark.fault("parsers")
@pytest.mark.parametrize("name", TARGETS)
def test_much_damage_is_refused_or_read(name: str) -> None:
    if name not in LIGHT:
        TARGETS[name].lay(laid[name])
    for seed in range(10 if name.startswith("run-") else 50):
        attack(name, seed)


CHILD = """
import resource, sys
from pathlib import Path
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.targets import TARGETS, survive
folder = Path(sys.argv[1])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[2:]:
    target = TARGETS[name]
    (folder / name).mkdir()
    target.lay(folder / name)
    for data in target.seeds():
        survive(target, data, folder / name)
before = peak()
for name in sys.argv[2:]:
    for what, data in HOSTILE[name]().items():
        survive(TARGETS[name], data, folder / name)
        print(name, what, (peak() - before) // 1024, sep="\\t")
"""


@pytest.mark.slow
@pytest.mark.fault("parsers")
def test_hostile_files_of_a_few_kilobytes_cost_little_memory_and_time(tmp_path: Path) -> None:
    """Also where the system gives no more than 4 GB of addresses."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), *HOSTILE]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)),
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == sum(len(make()) for make in HOSTILE.values())
    assert [line for line in lines if int(line[2]) > MOST_MB] == []


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    attacks = HOSTILE["nifti-gz"]()
    path = tmp_path / "a.nii.gz"
    fault = survive(TARGETS["nifti-gz"], attacks["bomb"], tmp_path)
    assert isinstance(fault, DataError)
    assert "its header claims 2147483648 bytes of voxels, the file has" in str(fault)
    assert path.stat().st_size < 10_000
