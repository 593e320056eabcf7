"""The locked requirements, held against pyproject.toml and what is installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ("aws", "cluster", "export", "monai", "s3", "dev")
FILES = ("requirements.lock", "requirements-cuda.lock")
BLOCK = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^\s;\\]+)(?P<rest>(?:.*\\\n)*.*)$", re.M)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(*files: str) -> dict[str, str]:
    """Version by name."""
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    return {
        plain(match["name"]): match["version"] for text in texts for match in BLOCK.finditer(text)
    }


def pins() -> dict[str, str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = table["optional-dependencies"]
    lines = [*table["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    pairs = [re.split(r"(?:\[[\w,-]+\])?==", line) for line in lines if "==" in line]
    return {plain(name): found for name, found in pairs}


def test_lock_has_the_versions_that_are_pinned():
    assert {name: locked(FILES[0]).get(name) for name in pins()} == pins()


@pytest.mark.parametrize("file", FILES)
def test_every_library_has_hashes_and_nothing_says_where_it_came_from(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) > 15
    for match in blocks:
        hashes = HASH.findall(match["rest"])
        assert hashes, match["name"]
        assert len(set(hashes)) == len(hashes), match["name"]
    assert not re.search(r"://|@ |^-|\s/", text, re.MULTILINE)
    said = "\n".join(match[0] for match in blocks)
    rest = [line for line in text.splitlines() if line not in said.splitlines()]
    assert [line for line in rest if not line.startswith("#")] == []


def test_lock_covers_what_the_locked_libraries_require():
    """Everything reachable from the pins, as it is installed here: the tests ran with that."""
    versions, missing, differing = locked(*FILES), [], []
    left, seen = set(pins()), set[str]()
    while left:
        name = left.pop()
        seen.add(name)
        try:
            found, lines = version(name), requires(name) or []
        except PackageNotFoundError:  # for another system or Python, or not asked for
            continue
        if name not in versions:
            missing.append(name)
        elif found.partition("+")[0] != versions[name]:
            differing.append((name, found, versions[name]))
        elsewhere = ("extra ==", "win32", "Windows", "emscripten", "darwin")
        needed = [line for line in lines if not any(word in line for word in elsewhere)]
        left |= {plain(re.split(r"[\s\[<>=!~;(]", line)[0]) for line in needed} - seen
    assert (missing, differing) == ([], [])


def test_builds_of_torch_with_and_without_cuda_are_both_known():
    text = (ROOT / FILES[0]).read_text(encoding="utf-8")
    torch = next(match for match in BLOCK.finditer(text) if match["name"] == "torch")
    others = re.findall(r'"torch==([\d.]+)": "([0-9a-f]{64})"', (ROOT / ".ci" / "lock").read_text())
    assert others
    for number, digest in others:
        assert number == torch["version"]
        assert f"--hash=sha256:{digest}" in torch["rest"]
    assert len(HASH.findall(torch["rest"])) > len(others)
