"""Deaths that wait for a search: where in its life, or in the middle of which write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["DRIVER", "WORKER", "Death", "lay_out"]

DRIVER, WORKER = "run.py", "default_worker.py"


@dataclass(frozen=True)
class Death:
    """One process is killed when it is about to do something.

    Args:
        event: Python's audit event: ``open`` to write, ``os.rename``, ``import``,
            ``subprocess.Popen``.
        name: Part of the name of the file, module or program.
        nth: The how many-th such event of that process.
        after_bytes: Written of the file before the system kills the process; None to kill
            it before it begins.
        process: Which: a word of its command line has this in it.
    """

    event: str
    name: str
    nth: int = 1
    after_bytes: int | None = None
    process: str = DRIVER


def lay_out(folder: Path, deaths: Iterable[Death]) -> Mapping[str, str]:
    """Let deaths wait in a folder; the environment of a search that shall meet them."""
    folder.mkdir(exist_ok=True)
    for number, death in enumerate(deaths):
        (folder / f"{number}.json").write_text(json.dumps(asdict(death)))
    hook = str(Path(__file__).parent / "lethal")
    path = os.pathsep.join([hook, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"LETHAL": str(folder), "PYTHONPATH": path}
