"""Two drivers of one run directory at a URL: who has it, who ends, and who disturbs nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seglib.data.prepare import prepare
from seglib.data.store import Store
from seglib.errors import RunError, UnwritableError
from tests.tune.test_ledger import play
from tests.tune.test_mirror import begin_at, put_trial
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.trial_files import LAST, RECIPE

Open = Callable[..., RunDirectory]


def open_once(folder: RunDirectory, study_path: Path, store: Store) -> None:
    with folder.locked():
        begin_at(folder, study_path, store)


def test_driver_that_was_cut_off_puts_nothing_once_another_has_the_run(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        assert ledger.ask() is not None
        with second.locked():
            other = begin_at(second, study_path, store)
            before = (far / "journal.log").read_bytes()
            with pytest.raises(UnwritableError, match=r"another search took this run over \(pid"):
                ledger.ask()
            assert (far / "journal.log").read_bytes() == before
            order = other.ask()
            assert order is not None
            assert order.number == 0
    with second.locked():
        assert len(begin_at(second, study_path, store).entries()) == len(other.entries())


def test_search_from_elsewhere_wins_over_what_is_here(
    machine: Open, study_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        with second.locked():
            other = begin_at(second, study_path, store)
            taken = other.ask()
            assert taken is not None
            play(other, taken, [0.1, 0.2, 0.3])
        with pytest.raises(UnwritableError, match="took this run over"):
            ledger.finish(0, "the network is cut")
    third = machine("one")
    with third.locked():
        assert begin_at(third, study_path, store).entry(0).state == "COMPLETE"
    assert "another search went on from" in caplog.text


@pytest.mark.parametrize("what", ["another seed", "other data"])
def test_command_that_is_refused_disturbs_nobody(
    machine: Open, far: Path, tmp_path: Path, study_path: Path, store: Store, what: str
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        assert ledger.ask() is not None
        before = {path: path.read_bytes() for path in far.rglob("*") if path.is_file()}
        if what == "another seed":
            study_path.write_text(study_path.read_text() + "seed: 7\n")
        else:
            spec = load_study(study_path, ("data.seed=1",), demo=False).data
            store = prepare(spec, None, tmp_path / "other")
        with pytest.raises(RunError, match="holds another study"):
            open_once(second, study_path, store)
        assert {path: path.read_bytes() for path in far.rglob("*") if path.is_file()} == before
        assert ledger.ask() is not None


def test_search_that_is_seen_at_work_is_not_taken_over(
    machine: Open, study_path: Path, store: Store
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        assert ledger.ask() is not None
        with second.locked():
            assert ledger.ask() is not None  # since the other has looked
            with pytest.raises(RunError, match=r"a search at work there \(pid \d+ on "):
                begin_at(second, study_path, store)
        assert ledger.ask() is not None


def test_nothing_of_a_late_driver_goes_to_a_trial_that_another_took_up(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        recipe = first.path / "trials" / "0" / RECIPE
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text("of the late one")
        with second.locked():
            begin_at(second, study_path, store)
            put_trial(far, 0)
            assert first.mirror is not None
            for act in (
                lambda: first.mirror.started(order),
                lambda: first.mirror.give_checkpoints([1]),
                lambda: first.mirror.remove_checkpoints(0),
            ):
                with pytest.raises(UnwritableError, match="took this run over"):
                    act()
    assert not (far / "trials" / "0" / RECIPE).exists()
    assert (far / "trials" / "0" / LAST).exists()


@pytest.mark.parametrize("text", ["{", "[]", "", None])
def test_damaged_mark_halts_the_search(
    machine: Open, far: Path, study_path: Path, store: Store, text: str | None
) -> None:
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        (far / "driver.json").unlink()
        if text is not None:
            (far / "driver.json").write_text(text)
        with pytest.raises(UnwritableError, match=r"driver\.json there is gone or damaged"):
            ledger.ask()
    with folder.locked():
        order = begin_at(folder, study_path, store).ask()
        assert order is not None
    assert json.loads((far / "driver.json").read_text())["mark"]


@pytest.mark.parametrize("now", [None, "elsewhere"])
def test_working_copy_goes_on_at_its_own_url_only(
    machine: Open, tmp_path: Path, study_path: Path, store: Store, now: str | None
) -> None:
    folder = machine("one")
    with folder.locked():
        begin_at(folder, study_path, store)
    before = sorted(path.name for path in folder.path.iterdir())
    url = None if now is None else f"file://{tmp_path}/elsewhere"
    said = rf"--storage-path: found {'no URL' if now is None else url} ; wanted file://.*far/tiny"
    with pytest.raises(RunError, match=said), RunDirectory(folder.path, url).locked():
        pass
    assert sorted(path.name for path in folder.path.iterdir()) == before
    with folder.locked():
        begin_at(folder, study_path, store)


def test_search_on_this_machine_does_not_go_on_at_a_url(begun: RunDirectory, far: Path) -> None:
    with (
        pytest.raises(RunError, match=r"--storage-path: found file://.* ; wanted no URL"),
        RunDirectory(begun.path, f"file://{far}").locked(),
    ):
        pass
    assert not far.exists()


def test_key_in_the_url_is_not_written_down(tmp_path: Path, store: Store) -> None:
    folder = RunDirectory(tmp_path / "run", "file://u:secret@/x?token=secret")
    folder.write_environment(store)
    assert "secret" not in folder.environment.read_text()
    assert folder.starts()[-1]["url"].startswith("file://u@/x")
