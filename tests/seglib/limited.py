"""A trial that may take only so much more memory: ``python -m tests.seglib.limited``.

Arguments: the trial's config as JSON, and numbers. For each number the trial is run in a
folder of that name, allowed so many MiB of addresses beyond those that the process holds
once everything is imported and has run in small. Prints each report as a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from tune.trial import run_trial


def main(config: dict[str, Any], *numbers: str) -> None:
    folder = Path(config["folder"])
    small = config["recipe"] | {"base_filters": 2, "batch_size": 2}
    run_trial(config | {"recipe": small, "folder": str(folder / "small")}, lambda sent: None)
    for number in numbers:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(number) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        run_trial(config | {"folder": str(folder / number)}, lambda sent: print(json.dumps(sent)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:])
