from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tune.temporary import clear

OWNER = """\
import subprocess
from tune.temporary import temporary_folder
folder = temporary_folder()
writer = subprocess.Popen(["sleep", "600"], stdout=open(folder / "log", "w"))
null = subprocess.DEVNULL
reader = subprocess.Popen(["sleep", "600"], stdin=open(folder / "log"), stdout=null)
print(folder, writer.pid, reader.pid, flush=True)
input()
"""


@pytest.mark.slow
@pytest.mark.fault("driver-killed")
@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_however_the_owner_ends_its_folder_goes_and_who_writes_there(
    end: signal.Signals | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    owner = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OWNER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    folder, *pids = owner.stdout.readline().split()
    writer, reader = (psutil.Process(int(pid)) for pid in pids)
    children = psutil.Process(owner.pid).children()
    watcher = next(one for one in children if folder in one.cmdline())
    if end is None:
        owner.communicate("\n")
        assert owner.returncode == 0
    else:
        owner.send_signal(end)
        owner.communicate()
    _, alive = psutil.wait_procs([watcher, writer], timeout=30)
    assert not alive
    assert not Path(folder).exists()
    assert reader.is_running()
    reader.kill()


def test_folder_that_is_not_there_is_clear(tmp_path: Path) -> None:
    clear(tmp_path / "none")
