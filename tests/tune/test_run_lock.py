from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seglib.errors import RunError
from tune import run_lock
from tune.run_lock import hold, is_held

HOLDER = (
    "import sys; from pathlib import Path; from tune.run_lock import hold\n"
    "with hold(Path(sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


@pytest.mark.fault("two-drivers")
def test_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert is_held(tmp_path)
    owner = rf"a search at work here \(pid {other.pid} on {socket.gethostname()}\)"
    with pytest.raises(RunError, match=owner), hold(tmp_path):
        pass
    other.send_signal(signal.SIGKILL)  # it has no chance to clean up
    other.communicate()
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert (tmp_path / "run.lock").read_text() == f"pid {os.getpid()} on " + (
            f"{socket.gethostname()}\n"
        )


@pytest.mark.fault("two-drivers")
@pytest.mark.parametrize("refusal", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_disk_that_cannot_lock_is_refused_and_the_remedy_told(
    refusal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, kind: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(RunError, match=r"--out: found .*, where files cannot be locked") as caught,
        hold(tmp_path),
    ):
        pass
    assert "mount option flock" in str(caught.value)
    assert not is_held(tmp_path)


def test_looking_at_a_folder_without_a_lock_makes_none(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_only_looks_turns_nobody_away(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    look = os.open(tmp_path / "run.lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [look]).start()
    with hold(tmp_path):
        assert is_held(tmp_path)


def test_lock_without_a_name_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, refused = run_lock._lock, []

    def lock_late(handle: int, folder: Path) -> None:
        lock(handle, folder)
        if not refused:  # another search was refused meanwhile, and left no file behind
            refused.append(handle)
            (folder / "run.lock").unlink()

    monkeypatch.setattr(run_lock, "_lock", lock_late)
    with hold(tmp_path):
        assert refused
        assert is_held(tmp_path)
