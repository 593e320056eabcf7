"""`python -m tests`: every check of the project, then every test; pytest has the last line.

`--quick` leaves out what is slow. All other words go to pytest. The exit code is
that of pytest, or 1 when only a check failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
CHECKS = (
    ("ruff", "check", "--quiet", "."),
    ("ruff", "format", "--check", "--quiet", "."),
    ("mypy",),
    ("lint-imports", "--no-logo"),
    ("pydoclint", "--quiet", "seglib", "tune"),
)
QUICK = ("-m", "not slow and not parity")


def main(words: list[str]) -> int:
    failed = [" ".join(check) for check in CHECKS if not passes(check)]
    for name in failed:
        print(f"FAILED {name}", flush=True)
    quick = "--quick" in words
    rest = [word for word in words if word != "--quick"]
    tests = [sys.executable, "-m", "pytest", *(QUICK if quick else ()), *rest]
    code = subprocess.run(tests, cwd=ROOT, check=False).returncode
    return code or int(bool(failed))


def passes(check: tuple[str, ...]) -> bool:
    """Run a tool of this interpreter's environment; what it says is shown if it complains."""
    tool, *arguments = check
    done = subprocess.run(
        [TOOLS / tool, *arguments],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    if done.returncode:
        print(done.stdout, end="", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
