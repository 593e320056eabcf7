"""What a job on a cluster runs: it looks at the versions there, then is `segtune` itself.

`python -m tune.job_entry run --space …`, in the folder that `segtune submit` has sent.
"""

from __future__ import annotations

import sys

from seglib.errors import SegtuneError
from tune.pins import require_pins

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Refuse libraries of other versions before any of them is imported, then act.

    Args:
        arguments: Words of the command line after `segtune`.

    Returns:
        The exit code, as :func:`tune.cli.main` has them.
    """
    try:
        require_pins()
    except SegtuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    from tune.cli import main as act
    from tune.surroundings import settle_surroundings

    settle_surroundings()
    return act(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
