"""The folder that is sent with a job: study files, the source of segtune, and what starts it.

Nothing else goes along: files are named one by one, so no dotfile, no key and no data of the
folder that the command runs in can slip in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import seglib
import tune
from seglib.errors import Problem, RunError
from tune.pins import metadata_text

__all__ = ["pack"]

_MOST_BYTES = 2**23
_STUDIES = "study"
_KINDS = {".py", ".html", ".css", ".jinja", ".j2"}
_START = r"""# Finds the Python that Ray itself runs with: `ray start` needs it on no path.
if [ -n "$VIRTUAL_ENV" ] && [ -x "$VIRTUAL_ENV/bin/python" ]; then
    python=$VIRTUAL_ENV/bin/python
else
    python=$(sed -n 's|.* \(/.*\)/lib/python[^/]*/site-packages/ray/_raylet[^/]*\.so$|\1/bin/python|p' \
        "/proc/$PPID/maps" 2>/dev/null | head -n 1)
fi
exec "${python:-python3}" -m tune.job_entry "$@"
"""  # noqa: E501


def pack(folder: Path, space: Path, studies: tuple[Path, ...]) -> Path:
    """Lay out the folder of a job.

    Args:
        folder: An empty folder.
        space: The study file, or the suite.
        studies: The files that a suite names; empty for a single study.

    Returns:
        Where the study file lies in the folder, as a relative path.

    Raises:
        RunError: It all comes to more than a job should carry.
    """
    for package in (seglib, tune):
        root = Path(package.__file__ or "").parent
        for path in _sources(root):
            _copy(path, folder / root.name / path.relative_to(root))
    version = metadata_text().partition("\nVersion: ")[2].partition("\n")[0]
    about = folder / f"segtune-{version}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(metadata_text(), encoding="utf-8")
    (folder / "start.sh").write_text(_START, encoding="utf-8")
    files = [path.resolve() for path in (space, *studies)]
    root = Path(os.path.commonpath([path.parent for path in files]))
    for path in files:
        _copy(path, folder / _STUDIES / path.relative_to(root))
    _require_small(folder)
    return Path(_STUDIES) / files[0].relative_to(root)


def _sources(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        hidden = any(part.startswith((".", "__pycache__")) for part in inside)
        if path.suffix in _KINDS and path.is_file() and not hidden:
            yield path


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _require_small(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*"))
    if size > _MOST_BYTES:
        found = f"{size / 2**20:.0f} MiB of study files and source"
        wanted = f"at most {_MOST_BYTES // 2**20} MiB"
        raise RunError("job", [Problem("working directory", found, wanted)])
