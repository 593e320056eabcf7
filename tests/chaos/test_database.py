"""A whole search whose ledger is in PostgreSQL: killed, cut off from the server, and continued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driver import STUDY, TRIALS, Driver, new_folder, scores_of
from tests.postgres import Postgres, serving_postgres
from tune import database
from tune.cli import main
from tune.entries import Entry, read_entries
from tune.storage import view_storage

pytestmark = pytest.mark.slow

TRACKED = STUDY.replace("tracking: {wandb: off}", "tracking: {wandb: offline, tensorboard: true}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with serving_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def entries_in(url: str) -> list[Entry]:
    return read_entries("deaths", view_storage(url))


def files_with(secret: str, folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_search_survives_the_death_of_its_driver_and_a_restart_of_the_server(
    server: Postgres, tmp_path: Path, undisturbed: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bare = server.new_database()
    monkeypatch.setenv("SEGTUNE_STORAGE", url)
    folder = new_folder(tmp_path, TRACKED)
    first = Driver(folder)
    first.wait_for("trial 1 epoch 3:")
    words = Path(f"/proc/{first.process.pid}/cmdline").read_bytes()
    assert server.password.encode() not in words
    first.kill()
    assert 0 < sum(len(entry.rows) for entry in entries_in(url)) < 4 * 12

    second = Driver(folder)
    second.wait_for("epoch")
    server.stop()
    server.start()
    assert second.end() == 0, "".join(second.lines)
    said = "".join(first.lines + second.lines)
    assert "the database answers again" in said or "waiting for the database" not in said
    found = entries_in(url)
    assert [entry.state for entry in found] == ["COMPLETE"] * TRIALS
    assert scores_of(found) == scores_of(undisturbed)

    run = folder / "runs" / "deaths"
    assert not (run / "journal.log").exists()
    assert bare in (run / "environment.json").read_text()
    assert list(run.glob("wandb/**/*.wandb"))
    assert list(run.glob("tensorboard/**/events*"))
    assert files_with(server.password, folder) == []
    assert server.password not in said

    status = Driver(folder, environment={"SEGTUNE_STORAGE": url})  # nothing is left to do
    assert status.end() == 0
    other = Driver(folder, "--out", "elsewhere")
    assert other.end() == 2
    assert "a study 'deaths' that another run directory began" in "".join(other.lines)


def test_server_that_is_gone_for_good_ends_the_search_with_one_message(
    tmp_path: Path,
    undisturbed: list[Entry],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = new_folder(tmp_path)
    monkeypatch.setattr(database, "PATIENCE_S", 2.0)
    monkeypatch.chdir(folder)
    with serving_postgres(tmp_path) as server:
        monkeypatch.setenv("SEGTUNE_STORAGE", server.url)
        monkeypatch.setattr(
            "tune.report_writer.ReportWriter.reported", lambda self, number, row: server.stop()
        )
        assert main(["run", "--space", "deaths.yaml"]) == 1
        told = "".join(capfd.readouterr()) + caplog.text
        assert told.count("the database does not answer") == 1
        assert told.count("Traceback") == 0
        assert server.password not in told
        monkeypatch.undo()
        server.start()
        again = Driver(folder, environment={"SEGTUNE_STORAGE": server.url})
        assert again.end() == 0, "".join(again.lines)
        assert scores_of(entries_in(server.url)) == scores_of(undisturbed)


def test_password_on_the_command_line_is_refused(tmp_path: Path) -> None:
    driver = Driver(new_folder(tmp_path), "--storage", "postgresql://me:secret@127.0.0.1:1/db")
    assert driver.end() == 2
    said = "".join(driver.lines)
    assert "SEGTUNE_STORAGE" in said
    assert "secret" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["deaths.yaml"]
