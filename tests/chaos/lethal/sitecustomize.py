"""Deaths at exact moments. Python imports this file at its start when its folder is on the path.

``LETHAL`` names a folder of deaths, each a file (see ``tests.chaos.deaths``). A process
that one of them is for counts what Python's audit hooks tell of, and at the n-th event
that fits it removes the file and is killed: at once, or by the system in the middle of the
write that follows, at the byte where the file may grow no further.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any


class Death:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = json.loads(path.read_text())
        self.count = 0

    def concerns(self) -> bool:
        return any(self.plan["process"] in word for word in sys.orig_argv)

    def see(self, event: str, words: tuple[Any, ...]) -> None:
        if event != self.plan["event"] or not self._fits(event, words):
            return
        self.count += 1
        if self.count == self.plan["nth"] and self._first():
            self._die(words)

    def _fits(self, event: str, words: tuple[Any, ...]) -> bool:
        if event == "open" and not words[2] & (os.O_WRONLY | os.O_RDWR):
            return False
        return any(self.plan["name"] in Path(str(word)).name for word in words[:2])

    def _first(self) -> bool:
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _die(self, words: tuple[Any, ...]) -> None:
        if self.plan["after_bytes"] is None:
            os.kill(os.getpid(), signal.SIGKILL)
        file = Path(words[0])
        end = file.stat().st_size if words[2] & os.O_APPEND and file.exists() else 0
        # Python ignores the signal, and changes that in its main thread only
        ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGXFSZ), ctypes.c_void_p(signal.SIG_DFL))
        resource.setrlimit(resource.RLIMIT_FSIZE, (end + self.plan["after_bytes"],) * 2)


if "LETHAL" in os.environ:
    deaths = [Death(path) for path in sorted(Path(os.environ["LETHAL"]).glob("*.json"))]
    deaths = [death for death in deaths if death.concerns()]

    def hook(event: str, words: tuple[Any, ...]) -> None:
        for death in deaths:
            death.see(event, words)

    if deaths:
        sys.addaudithook(hook)
