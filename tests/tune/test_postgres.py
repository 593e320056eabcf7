"""The ledger in a real PostgreSQL: what it remembers, who may write, and what it survives."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.storages import BaseStorage

from seglib.errors import RunError, UnwritableError
from tests.conftest import TINY_STUDY
from tests.postgres import CutLine, Postgres, serving_postgres
from tests.tune.test_ledger import play, row
from tune import database, postgres
from tune.database import claim, close
from tune.entries import Entry, read_entries
from tune.ledger import Ledger
from tune.storage import open_storage, view_storage
from tune.study_file import load_study

pytestmark = pytest.mark.slow

Open = Callable[..., Ledger]

HELD = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND "
    "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

BAYES = TINY_STUDY.replace("method: random", "method: bayes").replace("run_cap: 4", "run_cap: 14")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with serving_postgres(tmp_path_factory.mktemp("postgres"), fsync=False) as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_MILLISECONDS_FOR_THE_LOCK", 500)


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new_database()[0]


@pytest.fixture
def opened() -> Iterator[list[BaseStorage]]:
    """What a driver's process would close by its end."""
    storages: list[BaseStorage] = []
    yield storages
    for storage in storages:
        close(storage)


@pytest.fixture
def open_ledger(study_path: Path, opened: list[BaseStorage]) -> Callable[..., Ledger]:
    def open_ledger(place: Path | str, path: Path = study_path) -> Ledger:
        study = load_study(path, demo=False)
        opened.append(open_storage(place, study.name))
        return Ledger(study, opened[-1])

    return open_ledger


def search(ledger: Ledger) -> list[Entry]:
    """All trials, as good as their learning rate says; every third one dies on the way."""
    while (order := ledger.ask()) is not None:
        rate = order.recipe.learning_rate
        play(ledger, order, [0.3 + rate, 0.31 + rate, 0.1 + 1 / 3 + rate])
    return ledger.entries()


def test_database_remembers_as_the_journal_does_bit_for_bit(
    open_ledger: Open, study_path: Path, url: str
) -> None:
    study_path.write_text(BAYES)
    ours = search(open_ledger(url))
    theirs = search(open_ledger(study_path.parent / "journal.log"))
    assert len(ours) == 14
    assert ours == theirs
    assert read_entries("tiny", view_storage(url)) == theirs


def test_search_goes_on_from_what_the_database_holds(
    open_ledger: Open, opened: list[BaseStorage], url: str
) -> None:
    ledger = open_ledger(url)
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, 0.4))
    close(opened[-1])
    again = open_ledger(url).ask()
    assert again is not None
    assert (again.number, again.recipe, again.num_reported) == (order.number, order.recipe, 1)


def test_second_driver_of_a_study_is_refused_by_name(
    open_ledger: Open, opened: list[BaseStorage], url: str
) -> None:
    first = open_ledger(url)
    with pytest.raises(RunError, match=r"a search at work on the study 'tiny' there \(segtune \d+"):
        open_ledger(url)
    assert first.ask() is not None
    close(opened[0])
    open_ledger(url)


def test_driver_that_was_cut_off_cannot_write_once_another_has_the_study(
    open_ledger: Open, server: Postgres, url: str
) -> None:
    ledger = open_ledger(url)
    order = ledger.ask()
    assert order is not None
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE application_name LIKE 'segtune%' AND datname = '{url.rpartition('/')[2]}'"
    )
    other = open_ledger(url)
    with pytest.raises(UnwritableError, match="another search took the study 'tiny' over"):
        ledger.report(order.number, row(1, 0.4))
    assert other.entry(order.number).rows == []


def test_studies_share_a_database(open_ledger: Open, study_path: Path, url: str) -> None:
    other_path = study_path.with_name("other.yaml")
    other_path.write_text(TINY_STUDY.replace("name: tiny", "name: other"))
    tiny, other = open_ledger(url), open_ledger(url, other_path)
    assert len(search(tiny)) == len(search(other)) == 4
    assert [entry.values for entry in tiny.entries()] == [e.values for e in other.entries()]


def test_drivers_that_begin_at_once_in_an_empty_database_all_find_their_tables(url: str) -> None:
    script = "import sys; from tune.storage import open_storage; open_storage(*sys.argv[1:])"
    begun = [
        subprocess.Popen([sys.executable, "-c", script, url, f"study {number}"])
        for number in range(3)
    ]
    assert [process.wait(timeout=120) for process in begun] == [0, 0, 0]


def test_study_in_a_database_belongs_to_one_run_directory(
    opened: list[BaseStorage], url: str
) -> None:
    storage = open_storage(url, "tiny")
    opened.append(storage)
    claim(storage, "tiny", "maximize", "mine")
    claim(storage, "tiny", "maximize", "mine")
    with pytest.raises(RunError, match="a study 'tiny' that another run directory began"):
        claim(storage, "tiny", "maximize", "another")


def test_restart_of_the_server_is_waited_for(
    open_ledger: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving_postgres(tmp_path, fsync=False) as server:
        ledger = open_ledger(server.url)
        first = ledger.ask()
        assert first is not None
        server.stop()
        starting = threading.Thread(target=server.start)
        starting.start()
        ledger.report(first.number, row(1, 0.4))
        starting.join()
        play(ledger, first, [0.4, 0.5, 0.6])
        assert len(ledger.entries()[0].rows) == 3
        assert read_entries("tiny", view_storage(server.url)) == ledger.entries()
    assert server.password not in caplog.text


def test_server_that_stays_away_ends_the_search_once_and_nothing_is_lost(
    open_ledger: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_postgres(tmp_path, fsync=False) as server:
        ledger = open_ledger(server.url)
        order = ledger.ask()
        assert order is not None
        ledger.report(order.number, row(1, 0.4))
        server.stop()
        monkeypatch.setattr(database, "PATIENCE_S", 0.5)
        for _ in range(2):
            with pytest.raises(UnwritableError, match=r"does not answer .* same command") as caught:
                ledger.report(order.number, row(2, 0.5))
            assert server.password not in str(caught.value)
        server.start()
        again = open_ledger(server.url).ask()
        assert again is not None
        assert (again.number, again.num_reported) == (order.number, 1)


def test_call_whose_answer_was_lost_is_not_done_twice(
    open_ledger: Open, study_path: Path, server: Postgres, url: str
) -> None:
    line = CutLine(server.port)
    through = url.replace(f":{server.port}/", f":{line.port}/")
    undisturbed = search(open_ledger(study_path.parent / "journal.log"))
    ledger = open_ledger(through)
    try:
        for skip in (0, 0, 1, 2, 0):
            line.skip = skip
            order = ledger.ask()
            if order is None:
                break
            rate = order.recipe.learning_rate
            play(ledger, order, [0.3 + rate, 0.31 + rate, 0.1 + 1 / 3 + rate])
    finally:
        line.close()
    assert line.num_cut == 4
    kept = [entry for entry in ledger.entries() if entry.started]
    values = [tuple(entry.values.items()) for entry in kept]
    assert len(set(values)) == len(values) == 4
    assert [entry.rows for entry in kept[:2]] == [entry.rows for entry in undisturbed[:2]]
    withdrawn = server.run_in(
        url, "SELECT count(*) FROM trial_user_attributes WHERE key='withdrawn'"
    )
    assert withdrawn == [(1,)]


def test_driver_takes_the_lock_back_from_its_own_dead_line(
    open_ledger: Open, server: Postgres, url: str
) -> None:
    line = CutLine(server.port)
    through = url.replace(f":{server.port}/", f":{line.port}/")
    ledger = open_ledger(through)
    order = ledger.ask()
    assert order is not None
    held = server.run_in(url, HELD)
    try:
        line.hang()
        assert server.run_in(url, HELD) == held  # the server has heard nothing of it
        with pytest.raises(RunError, match=r"\(segtune \d+ \w+ on .*, silent for \d+ s\)"):
            open_ledger(url)  # a command given anew elsewhere
        began = time.monotonic()
        play(ledger, order, [0.4, 0.5, 0.6])
        assert time.monotonic() - began < 20
        assert server.run_in(url, HELD) not in ([], held)
        assert len(ledger.entries()[0].rows) == 3
        assert read_entries("tiny", view_storage(url)) == ledger.entries()
    finally:
        line.close()


def test_old_line_that_the_role_may_not_end_is_waited_for(
    open_ledger: Open, server: Postgres, url: str
) -> None:
    place = url.rpartition("/")[2]
    server.run_in(url, f"CREATE ROLE r{place} LOGIN PASSWORD 'r'")
    server.run_in(url, f"GRANT ALL ON SCHEMA public TO r{place}")
    server.run_in(url, "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
    line = CutLine(server.port)
    ledger = open_ledger(f"postgresql://r{place}:r@127.0.0.1:{line.port}/{place}")
    order = ledger.ask()
    assert order is not None
    line.hang()
    ending = threading.Timer(1.5, line.end)  # three times as long as one try takes
    ending.start()
    try:
        ledger.report(order.number, row(1, 0.4))
        assert ending.finished.is_set()
    finally:
        ending.join()
        line.close()
    assert len(ledger.entry(0).rows) == 1


def test_wrong_password_is_told_with_where_it_belongs(server: Postgres) -> None:
    wrong = server.url.replace(server.password, "not-the-password")
    with pytest.raises(RunError, match=r"authentication failed(.|\n)*~/\.pgpass") as caught:
        open_storage(wrong, "tiny")
    assert "not-the-password" not in str(caught.value)


@pytest.mark.parametrize("where", ["pgpass", "PGPASSWORD"])
def test_password_may_lie_where_postgres_looks_for_it(
    where: str, server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = server.new_database()[1]
    if where == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", server.password)
    else:
        file = tmp_path / "pgpass"
        file.write_text(f"127.0.0.1:*:*:*:{server.password}\n")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
    close(open_storage(bare, "tiny"))


def test_password_with_raw_signs_of_a_url_is_refused_unread() -> None:
    with pytest.raises(RunError, match="written as %2F") as caught:
        open_storage("postgresql://u:se/cret@127.0.0.1:1/db", "tiny")
    assert "cret" not in str(caught.value)
