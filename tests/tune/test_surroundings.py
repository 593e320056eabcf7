from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tune.test_ledger import open_ledger
from tune.screen import PlainScreen, watching
from tune.surroundings import open_console

KERNELS = [
    {"JPY_PARENT_PID": "1"},
    {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
]


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_PARENT_PID", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    # what a kernel's `!` gives to a command besides a terminal that it cannot draw on
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-color")


@pytest.mark.parametrize("kernel", KERNELS)
def test_notebook_gets_plain_lines_though_it_looks_like_a_terminal(
    kernel: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    study_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in kernel.items():
        monkeypatch.setenv(name, value)
    console = open_console()
    assert not console.is_terminal
    with watching(open_ledger(study_path), console) as screen:
        assert isinstance(screen, PlainScreen)
    console.print("a word", style="bold red")
    assert capsys.readouterr().out == "a word\n"


@pytest.mark.slow
def test_command_of_a_kernel_draws_though_the_kernels_backend_is_not_installed() -> None:
    code = (
        "from tune.surroundings import in_notebook, settle_surroundings\n"
        "settle_surroundings()\n"
        "import matplotlib.figure\n"
        "print(in_notebook())"
    )
    kernel = {"MPLBACKEND": "module://of_a_kernel.backend_inline"}
    command = [sys.executable, "-c", code]
    env = os.environ | kernel
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert answer.stdout == "True\n"


def test_terminal_is_drawn_on() -> None:
    assert open_console().is_terminal
