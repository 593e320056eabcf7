"""A disk that is full or read-only, at every place where a search writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.driver import assert_sound, entries_of, new_folder, scores_of
from tests.chaos.small_disk import Shell
from tune.entries import Entry

pytestmark = [pytest.mark.slow, pytest.mark.fault("disk")]

RUN = "runs/deaths"
AGAIN = "then the same command goes on"


def errors(told: str) -> list[str]:
    """The lines in which a search says why it cannot go on."""
    return [line for line in told.splitlines() if AGAIN in line]


def refuse(shell: Shell, *, place: str, because: str, variables: str = "") -> str:
    """A search must end for want of a place to write, and say it once; gives all it said."""
    code, told = shell.search(variables=variables)
    assert code == 1, told
    (line,) = errors(told)
    assert place in line
    assert because in line
    assert "Traceback" not in told
    return told


def assert_unharmed(shell: Shell) -> None:
    """No trial failed for it, and no half-written file takes room."""
    assert not [entry for entry in entries_of(shell.folder) if entry.state == "FAIL"]
    assert not list((shell.folder / RUN).rglob("*.tmp"))


def refuse_before_ray_starts(shell: Shell) -> None:
    """No room for prepared data, then none for Ray's own files."""
    shell.mount("runs/.cache", kilobytes=400)
    refuse(shell, place="runs/.cache", because="the disk is full (")
    assert not (shell.folder / RUN).exists()
    shell.mount("runs/.cache", kilobytes=60_000)
    shell.run("mount -t tmpfs -o size=60k none /mnt")  # a short path, as Ray wants it
    refuse(shell, place="/mnt", because="the disk is full (", variables="TMPDIR=/mnt")


def fill_the_journal(shell: Shell) -> None:
    """The driver's own writing is refused in the middle of a search."""
    journal = f"{RUN}/journal.log"
    shell.mount("journal", kilobytes=12)
    shell.run(f"cp {journal} journal/ && mount --bind journal/journal.log {journal}")
    told = refuse(shell, place="journal.log", because="the disk is full (")
    assert "trial 0 epoch 1:" in told
    assert (shell.folder / journal).read_bytes().endswith(b"\n")
    assert_unharmed(shell)
    shell.run(f"umount {journal} && cp journal/journal.log {journal}")


def fill_the_checkpoints(shell: Shell) -> None:
    """A trial's writing is refused in the middle of a search."""
    shell.run(f"mv {RUN} before && mkdir {RUN}")
    shell.mount(RUN, kilobytes=2600)
    shell.run(f"cp -a before/. {RUN}/")
    refuse(shell, place=f"{RUN}/trials/", because="the disk is full (")
    assert_unharmed(shell)
    running = [entry for entry in entries_of(shell.folder) if entry.state == "RUNNING"]
    assert any(entry.rows for entry in running)


def refuse_before_the_start(shell: Shell) -> None:
    """Not a byte is left, and then nothing may be written."""
    shell.run(f"dd if=/dev/zero of={RUN}/ballast bs=1k")
    refuse(shell, place=RUN, because="the disk is full (0.0 of")
    shell.run(f"rm {RUN}/ballast; mount -o remount,ro,bind {RUN}")
    refuse(shell, place=RUN, because="it is read-only")
    shell.run(f"mount -o remount,rw,bind {RUN}")


def fill_the_report(shell: Shell) -> None:
    """All is trained, only its figures find no room."""
    shell.run(f"rm -r {RUN}/figures")
    shell.mount(f"{RUN}/figures", kilobytes=4)
    refuse(shell, place="figures", because="the disk is full (")


@pytest.mark.timeout(1200)  # eight starts, three of them with Ray
def test_full_disk_ends_the_search_wherever_it_hits_and_space_lets_it_go_on(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    with Shell(new_folder(tmp_path)) as shell:
        refuse_before_ray_starts(shell)
        fill_the_journal(shell)
        fill_the_checkpoints(shell)
        refuse_before_the_start(shell)
        shell.mount(RUN, kilobytes=60_000)
        code, told = shell.search()
        assert code == 0, told
        entries = assert_sound(shell.folder)
        assert scores_of(entries) == scores_of(undisturbed)
        fill_the_report(shell)
        assert assert_sound(shell.folder) == entries
