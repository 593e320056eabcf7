"""What a job on a cluster runs: it looks at the versions there, then is `segtune` itself.

`python -m tune.job_entry run --space …`, in the folder that `segtune submit` has sent.
"""

from __future__ import annotations

import sys

from seglib.errors import SegtuneError
from tune.pins import require_pins

__all__ = ["main", "with_out"]


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
    return act(with_out(arguments))


def with_out(arguments: list[str]) -> list[str]:
    """The same, with a folder for working copies where run directories are kept at a URL.

    The job's own folder is shared by all jobs of the same content, and Ray's to delete.

    Args:
        arguments: As :meth:`tune.errand.Errand.words` has them.

    Returns:
        With ``--out``, if there was none.
    """
    from tune.node_store import working_copies
    from tune.urls import is_url

    given = dict(word.split("=", 1) for word in arguments if word.startswith("--") and "=" in word)
    url = given.get("--storage-path", "")
    if "--out" in given or not is_url(url):
        return arguments
    return [*arguments, f"--out={working_copies(url)}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
