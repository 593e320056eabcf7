"""The report as one HTML file that needs no network, with its figures beside it as PNG.

The only file that imports Jinja.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console

from seglib.errors import UnwritableError
from seglib.files import write_whole
from tune.reporting.comparisons import compare
from tune.reporting.evidence import RunData, gather
from tune.reporting.notes import warn_run
from tune.reporting.terminal_table import render_points
from tune.reporting.views import Pictures, build_context
from tune.reporting.words import say_lead

__all__ = ["add_report", "show_report", "write_report"]

PAGE = "report.html"
FIGURES = "figures"
_WIDTH_FOR_ALL = 150
_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("report.js", "overlays.js")


def write_report(folder: Path, storage: str | None = None) -> Path:
    """Write ``report.html`` and ``figures/*.png``, each whole or not at all.

    Nothing else is written, so a search may be running meanwhile.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        storage: The ledger's database, where its URL has a password in it.

    Returns:
        The page.

    Raises:
        RunError: There is no run, or a file of a run is damaged.
    """
    folder = folder.resolve()
    return _write(folder, gather(folder, storage))


def show_report(folder: Path, console: Console, storage: str | None = None) -> None:
    """Write the report, print its main table and where it is.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        console: Where to print.
        storage: The ledger's database, where its URL has a password in it.

    Raises:
        RunError: There is no run, or a file of a run is damaged.
    """
    folder = folder.resolve()
    runs = gather(folder, storage)
    page = _write(folder, runs)
    for text in dict.fromkeys(text for run in runs for text in warn_run(run)):
        console.print(text, style="bold red", markup=False, highlight=False)
    console.print(render_points(runs, wide=console.width >= _WIDTH_FOR_ALL), markup=False)
    effects = [effect for block in compare(runs) for effect in block.effects]
    console.print(say_lead(runs, effects), markup=False, highlight=False)
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)


def add_report(folder: Path, console: Console, storage: str | None = None) -> None:
    """Write the report at the end of a search; a fault in it is told, and spoils nothing.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        console: Where to say where it is.
        storage: The ledger's database, where its URL has a password in it.
    """
    try:
        folder = folder.resolve()
        runs = gather(folder, storage)
        # the caller has ended, though it may hold the folder still
        ended = [replace(run, view=replace(run.view, held=False)) for run in runs]
        line, style = f"report:      {_write(folder, ended)}", ""
    except UnwritableError:
        raise
    except Exception as error:
        line, style = f"no report was written: {type(error).__name__}: {error}", "red"
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _write(folder: Path, runs: Sequence[RunData]) -> Path:
    pictures: Pictures = {}
    text = _render(build_context(folder.name, runs, pictures))
    for name, picture in pictures.items():
        write_whole(folder / FIGURES / f"{name}.png", picture)
    write_whole(folder / PAGE, text)
    return folder / PAGE


def _render(context: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    script = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    # a browser runs this script and no other, whatever a run directory may hold
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    more = {"script": script, "script_hash": f"sha256-{digest}"}
    made = {"made": time.strftime("%Y-%m-%d %H:%M")}
    return environment.get_template("report.html.j2").render({**context, **more, **made})
