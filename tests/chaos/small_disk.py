"""A shell in a mount namespace of its own: a test may mount disks there, and nobody sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["Shell"]

_ASIDE = ["unshare", "--map-root-user", "--mount"]
_END = "-- end of command:"


class Shell:
    """Runs commands one after another; what they mounted is gone with the shell.

    Args:
        folder: Working directory.
    """

    def __init__(self, folder: Path) -> None:
        probe = subprocess.run(
            [*_ASIDE, "mount", "-t", "tmpfs", "none", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if probe.returncode:
            pytest.skip(f"no user namespaces with mounts here: {probe.stderr.strip()}")
        self._process = subprocess.Popen(
            [*_ASIDE, "bash"], cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        # The folder as the shell sees it, with what is mounted there.
        self.folder = Path(f"/proc/{self._process.pid}/root{folder.resolve()}")

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *why: object) -> None:
        self._process.communicate()

    def run(self, command: str) -> tuple[int, str]:
        """Run one command to its end.

        Args:
            command: For bash; it must read nothing.

        Returns:
            Its exit code, and all that it said.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command} </dev/null\ncode=$?; echo; echo '{_END}' $code\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line.startswith(_END):
                return int(line.removeprefix(_END)), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell has ended:\n{''.join(said)}")

    def mount(self, folder: str, *, kilobytes: int) -> None:
        """Put a disk of this size on a folder, or give the one there another size."""
        name = f"{self.folder}/{folder}"
        options = f"size={kilobytes}k"
        if Path(name).is_mount():
            options += ",remount"
        code, said = self.run(f"mkdir -p {folder} && mount -t tmpfs -o {options} none {folder}")
        assert code == 0, said

    def search(self, words: str = "", *, variables: str = "") -> tuple[int, str]:
        """`python tune/run.py --space deaths.yaml`; exit code and output."""
        script = Path(__file__).parents[2] / "tune" / "run.py"
        return self.run(f"{variables} {sys.executable} {script} --space deaths.yaml {words}")
