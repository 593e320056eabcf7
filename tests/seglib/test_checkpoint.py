from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from seglib.checkpoint import CheckpointError, load_checkpoint, previous_of, save_checkpoint


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "last.pt"
    save_checkpoint({"weights": torch.arange(5.0), "rows": [{"epoch": 1}]}, path)
    state, note = load_checkpoint(path)
    assert torch.equal(state["weights"], torch.arange(5.0))
    assert state["rows"] == [{"epoch": 1}]
    assert note == ""
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["last.pt"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty])
def test_damage_is_seen_and_the_state_before_is_used(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"weights": torch.zeros(4000), "epoch": 1}, path)
    save_checkpoint({"weights": torch.ones(4000), "epoch": 2}, path)
    damage(path)  # type: ignore[operator]
    state, note = load_checkpoint(path)
    assert state["epoch"] == 1
    assert "last.pt: found a damaged checkpoint" in note


def test_two_damaged_states_are_refused_and_both_named(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"epoch": 1}, path)
    save_checkpoint({"epoch": 2}, path)
    truncate(path)
    truncate(previous_of(path))
    with pytest.raises(CheckpointError, match=r"2 problems\n.*last\.pt.*\n.*last\.pt\.previous"):
        load_checkpoint(path)


def test_a_death_between_the_renames_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"epoch": 1}, path)
    path.rename(previous_of(path))
    state, _ = load_checkpoint(path)
    assert state["epoch"] == 1


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "attacked"),))

    torch.save({"format": 1, "attack": Attack()}, path, pickle_module=pickle)
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "attacked").exists()
