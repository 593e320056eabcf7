"""Attack by coverage: `python -m tests.fuzz --minutes 10`; it needs the extra `fuzz`.

Each target has a process of its own with a limit on memory and on the time of one input.
An exception that should not come out is printed once for each place that it comes from; the
bytes that did it are kept. The exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tests.fuzz.hostile import HOSTILE
from tests.fuzz.targets import TARGETS, Target, survive

MOST_MB = 2000
MOST_SECONDS = 60
LONGEST = 2**14
FOUND = "crash-"


def main() -> int:
    """Run the campaign, or in a process of its own one target."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    words.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    words.add_argument("--minutes", type=float, default=10.0, help="of all targets together")
    words.add_argument("--one", type=float, default=None, help=argparse.SUPPRESS)
    words.add_argument("--out", type=Path, default=None, help="folder for what was found")
    asked = words.parse_args()
    if asked.one is not None:
        return attack(asked.targets[0], asked.one, asked.out)
    out = asked.out or Path(tempfile.mkdtemp(prefix="fuzz-"))
    names = asked.targets or list(TARGETS)
    seconds = asked.minutes * 60 / len(names)
    return max(campaign(name, seconds, out / name) for name in names)


def campaign(name: str, seconds: float, out: Path) -> int:
    """One target in a process of its own; what ends that process is a find, too."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz", name, "--one", f"{seconds}", "--out", str(out)]
    with (out / "log.txt").open("w+") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
        log.seek(0)
        said = log.read()
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", said) or ["?"]
    peak = re.findall(r"stat::peak_rss_mb:\s+(\d+)", said) or ["?"]
    slowest = re.findall(r"stat::slowest_unit_time_sec:\s+(\d+)", said) or ["?"]
    kinds = (FOUND, "timeout-", "oom-", "leak-")
    found = sorted(p for p in out.iterdir() if p.name.startswith(kinds) and p.suffix != ".txt")
    print(
        f"{name:13} {seconds / 60:4.1f} min, {runs[-1]:>8} inputs, slowest {slowest[-1]} s, "
        f"peak {peak[-1]} MB, {len(found)} found, exit {done.returncode}",
        flush=True,
    )
    for path in found:
        note = path.with_suffix(".txt")
        print(f"  {path}", note.read_text() if note.exists() else "", sep="\n", flush=True)
    return int(bool(found) or done.returncode != 0)


def attack(name: str, seconds: float, out: Path) -> int:
    """libFuzzer's loop over one target; returns only where it is not installed."""
    try:
        import atheris
    except ImportError:
        print("atheris is missing: pip install -e '.[fuzz]' in segtune's checkout")
        return 2
    target = TARGETS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    target.lay(folder)
    corpus = out / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate([*target.seeds(), *_small(HOSTILE.get(name, dict)())]):
        (corpus / f"seed-{number}").write_bytes(data)
    limits = [f"-max_total_time={seconds:.0f}", f"-timeout={MOST_SECONDS}", f"-max_len={LONGEST}"]
    limits += [f"-rss_limit_mb={MOST_MB}", f"-artifact_prefix={out}{os.sep}"]
    # what the libraries' own code branches on leads further than blind chance
    for package in ("yaml", "PIL", "nibabel", "pydicom"):
        atheris.enabled_hooks.add("RegEx")
        for module in [one for one in list(sys.modules) if one.split(".")[0] == package]:
            _instrument(atheris, sys.modules[module])
    for module in [one for one in list(sys.modules) if one.split(".")[0] in ("seglib", "tune")]:
        _instrument(atheris, sys.modules[module])

    def once(data: bytes) -> None:
        _try(target, data, folder, out)

    def change(data: bytes, most: int, seed: int) -> bytes:
        if seed % 3 == 0:
            return bytes(atheris.Mutate(data, most))
        return target.mutate(data, Random(seed))[:most]

    argv = [sys.argv[0], *limits, "-print_final_stats=1", "-verbosity=1", str(corpus)]
    atheris.Setup(argv, once, custom_mutator=change)
    atheris.Fuzz()
    return 0


def _small(attacks: Mapping[str, bytes]) -> list[bytes]:
    return [data for data in attacks.values() if len(data) <= LONGEST]


def _instrument(atheris: object, module: object) -> None:
    """Count the branches of a module that is loaded already."""
    for owner in [module, *_classes(module)]:
        for value in list(vars(owner).values()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if type(value).__name__ == "function" and value.__code__.co_name != "<lambda>":
                atheris.instrument_func(value)


def _classes(module: object) -> list[type]:
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]


def _try(target: Target, data: bytes, folder: Path, out: Path) -> None:
    """One input; an exception is noted once for each place and the attack goes on."""
    try:
        survive(target, data, folder)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if re.search(r"/(seglib|tune)/", frame.filename)]
        last = (ours or frames)[-1]
        place = f"{FOUND}{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        if not (out / place).exists():
            (out / place).write_bytes(data)
            (out / f"{place}.txt").write_text("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    sys.exit(main())
