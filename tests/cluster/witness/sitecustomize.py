"""Who trained what: Python imports this file at its start when its folder is on the path.

``WITNESSED`` names a file that is this node's alone. Each time a process puts a table of
epochs in its place, the trial's number is added to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def hook(event: str, words: tuple[Any, ...]) -> None:
    if event == "os.rename" and str(words[1]).endswith("/epochs.csv"):
        with Path(os.environ["WITNESSED"]).open("a") as file:
            file.write(f"{Path(words[1]).parent.name}\n")


if "WITNESSED" in os.environ:
    sys.addaudithook(hook)
