"""`python tune/run.py` where the clock jumps, decimals have commas and the host has an odd name.

Run as a script: the study file's options follow. Only this process sees the odd clock.
"""

from __future__ import annotations

import datetime
import importlib
import locale
import runpy
import socket
import sys
import time
import types
from pathlib import Path

JUMPS_S = (0, 5 * 3600, -7 * 3600, 1e7, -40)
SECONDS_BETWEEN = 0.7


def main() -> None:
    """Put the surroundings in place, then run the script as if they were the machine's."""
    locale.setlocale(locale.LC_ALL, "")
    right, start = time.time, time.monotonic()

    def jump_s() -> float:
        return JUMPS_S[int((time.monotonic() - start) / SECONDS_BETWEEN) % len(JUMPS_S)]

    class OddDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> OddDatetime:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: right() + jump_s()
    time.time_ns = lambda: int(time.time() * 1e9)
    _give_optuna(OddDatetime)
    socket.gethostname = lambda: "Rechner 脑.örtlich"
    script = Path(__file__).parents[2] / "tune" / "run.py"
    sys.argv[0] = str(script)
    runpy.run_path(str(script), run_name="__main__")


def _give_optuna(odd: type[datetime.datetime]) -> None:
    """Its journal is stamped so; compiled modules would not survive another `datetime`."""
    importlib.import_module("optuna.storages")
    module = types.ModuleType("datetime")
    vars(module).update(vars(datetime), datetime=odd)
    for name, user in tuple(sys.modules.items()):
        if name.startswith("optuna"):
            for wanted, given in ((datetime, module), (datetime.datetime, odd)):
                if getattr(user, "datetime", None) is wanted:
                    user.datetime = given  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
