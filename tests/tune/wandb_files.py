"""Reads the record files of W&B's offline runs: LevelDB log blocks of protobuf records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 2**15


@dataclass
class RunFile:
    """What one file says of its run."""

    id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_runs(folder: Path) -> list[RunFile]:
    """All offline runs under a folder, oldest first."""
    return [read_run(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def read_run(path: Path) -> RunFile:
    found = RunFile()
    for raw in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.id, found.name, found.group = run.run_id, run.display_name, run.run_group
            found.project = run.project
            found.config |= _items(run.config.update)
        elif kind == "history":
            found.history.append(_items(record.history.item))
        elif kind == "summary":
            found.summary |= _items(record.summary.update)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(pairs: Any) -> dict[str, Any]:
    return {pair.key or "/".join(pair.nested_key): json.loads(pair.value_json) for pair in pairs}


def _records(data: bytes) -> list[bytes]:
    """Each block holds chunks: checksum (4), length (2), type (1: whole, 2: first, 3, 4: last)."""
    found, parts, position = [], b"", 7  # a header of W&B's own stands in front
    while position + 7 <= len(data):
        room = BLOCK - position % BLOCK
        if room < 7:
            position += room
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            found.append(parts)
            parts = b""
    return found
