"""docs/cluster.md and the files it names: their commands are understood by the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from tune.cli import app

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs/cluster.md"
FILES = ("cluster.yaml", "docs/cluster/local.yaml", "docs/cluster/slurm.sbatch")
COMMAND = re.compile(r"^(?:~/segtune-venv/bin/)?segtune ")
BATCH = re.compile(r"^sbatch docs/cluster/slurm.sbatch ")


def commands_of_files() -> list[str]:
    """What the guide's blocks, the files' first comments and the manifest tell to run."""
    blocks = re.findall(r"^```\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "\n".join(blocks).splitlines()
    for name in FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        comment = "\n".join(re.findall(r"^#  +(.+)$", text, re.MULTILINE))
        lines += comment.replace("\\\n", " ").splitlines()
    manifest = (ROOT / "docs/cluster/rayjob.yaml").read_text(encoding="utf-8")
    lines += [one["spec"].get("entrypoint", "") for one in yaml.safe_load_all(manifest)]
    told = [BATCH.sub("segtune run ", line.strip()) for line in lines]
    return sorted({COMMAND.sub("", line) for line in told if COMMAND.match(line)})


def test_guide_tells_how_to_run_submit_watch_and_stop():
    text = GUIDE.read_text(encoding="utf-8")
    assert {line.split()[0] for line in commands_of_files()} >= {"run", "submit", "status"}
    assert all(f"segtune {name}" in text for name in ("submit", "status", "logs", "stop"))


@pytest.mark.parametrize("line", commands_of_files())
def test_command_is_understood(line):
    name, *rest = shlex.split(line, comments=True)
    with typer.main.get_command(app).commands[name].make_context(name, rest) as context:
        assert context.params


def test_every_file_that_the_guide_names_is_there():
    named = re.findall(r"\]\((\.\./cluster\.yaml|cluster/[\w.]+)\)", GUIDE.read_text("utf-8"))
    assert len(named) == 4
    assert all((GUIDE.parent / name).is_file() for name in named)
