"""Odd names, places, clocks and terminals: the results are those of an undisturbed search."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from seglib.data.phantom import write_phantoms
from tests.chaos.driver import STUDY, assert_sound, new_folder, scores_of
from tests.chaos.surroundings import JUMPS_S
from tune.entries import Entry
from tune.surroundings import Voice

pytestmark = pytest.mark.fault("surroundings")

HERE = Path(__file__).parent
LONGEST_SOCKET = 107  # bytes of its path, on Linux


def environment(**changes: str) -> dict[str, str]:
    """What a search needs of this process's environment: next to nothing."""
    return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **changes}


def permissions(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_odd_names_and_a_terminal_that_knows_ascii_only(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    study = STUDY.replace("name: deaths", 'name: deaths\ndescription: "Größe → 脑"')
    study = study.replace("layout: phantom-brats, cases: 8,", "layout: brats,")
    folder = tmp_path / "Prüf daten" / "脑 été's"
    folder.mkdir(parents=True)
    new_folder(folder, study)
    write_phantoms("phantom-brats", folder / "die Bilder ü", cases=8, seed=0, size=32)
    scratch = tmp_path / f"temporary files {'x' * LONGEST_SOCKET}"
    scratch.mkdir()
    ended = subprocess.run(
        [sys.executable, "-O", str(HERE.parents[1] / "tune" / "run.py"),
         "--space", "deaths.yaml", "--data", "die Bilder ü", "--out", "runs"],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, umask=0o077, check=False,
        preexec_fn=lambda: os.close(0),
        env=environment(
            LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii",
            TERM="dumb", COLUMNS="20", TZ="<+13:45>-13:45", TMPDIR=str(scratch),
        ),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    said = ended.stdout.decode("ascii")
    assert "Pr?f daten" in said
    assert ended.stderr == b""
    entries = assert_sound(folder)
    assert scores_of(entries) == scores_of(undisturbed)
    assert [entry.values for entry in entries] == [entry.values for entry in undisturbed]
    shown = permissions(folder / "runs")
    assert {mode & 0o077 for mode in shown.values()} == {0}
    assert list(scratch.glob("segtune-*")) == []


@pytest.mark.slow
def test_jumping_clock_comma_decimals_and_nobody_who_listens(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    folder = new_folder(tmp_path, STUDY + "budget: {hours: 1}\n")
    assert max(JUMPS_S) > 3600
    german = {}
    if (compiler := shutil.which("localedef")) is not None:
        place = tmp_path / "locales" / "de_DE.UTF-8"
        place.parent.mkdir()
        made = subprocess.run([compiler, "-i", "de_DE", "-f", "UTF-8", str(place)], check=False)
        german = {} if made.returncode else {"LOCPATH": str(place.parent), "LC_ALL": "de_DE.UTF-8"}
    errors = tmp_path / "errors.txt"
    with errors.open("wb") as file, subprocess.Popen(
        [sys.executable, str(HERE / "surroundings.py"), "--space", str(folder / "deaths.yaml"),
         "--out", str(folder / "runs")],
        cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, umask=0, text=True,
        env=environment(HOME="/dev/null", TMPDIR="/dev/null", **german),
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        assert any("trial 0 epoch 1:" in line for line in driver.stdout), errors.read_text()
        (token,) = tokens_of(driver.pid)
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        driver.stdout.close()
        assert driver.wait(timeout=240) == 0, errors.read_text()
    assert all("atplotlib" in line for line in errors.read_text().splitlines())  # it wants a home
    entries = assert_sound(folder)
    assert scores_of(entries) == scores_of(undisturbed)
    assert [entry.values for entry in entries] == [entry.values for entry in undisturbed]
    run = folder / "runs" / "deaths"
    shown = permissions(run)
    assert {name: shown[name] for name in ("study.yaml", "journal.log", "leaderboard.csv")} == (
        dict.fromkeys(("study.yaml", "journal.log", "leaderboard.csv"), 0o666)
    )
    assert not token.exists()


def tokens_of(process: int) -> set[Path]:
    """Files with the token of the Ray that a search has started."""
    found = set()
    for child in psutil.Process(process).children(recursive=True):
        name = child.environ().get("RAY_AUTH_TOKEN_PATH")
        found |= {Path(name)} if name else set()
    return found


def test_voice_goes_on_when_nobody_listens() -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as stream:
        voice = Voice(stream)
        voice.write("heard\n")
        voice.flush()
        assert os.read(ours, 100) == b"heard\n"
        os.close(ours)
        for _ in range(3):
            assert voice.write("not heard") == len("not heard")
            voice.flush()
        assert voice.encoding == stream.encoding
        assert not voice.isatty()


def test_voice_is_silent_once_the_disk_is_full() -> None:
    with Path("/dev/full").open("w") as stream:
        voice = Voice(stream)
        voice.write("x" * (io.DEFAULT_BUFFER_SIZE + 1))
        voice.flush()
        voice.write("more")


def test_streams_that_were_closed_are_not_taken_by_files(tmp_path: Path) -> None:
    code = (
        "from tune.surroundings import settle_surroundings\n"
        "settle_surroundings()\n"
        "import os, sys\n"
        f"first = os.open({str(tmp_path / 'journal')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "print('lost'); print('lost', file=sys.stderr)\n"
        "os.write(1, b'lost'); os.write(2, b'lost')\n"
        "assert first > 2 and sys.stdin.read() == ''\n"
        "os.write(first, b'kept')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    shell = f"exec {sys.executable} {script} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], cwd=HERE.parents[1], check=False).returncode == 0
    assert (tmp_path / "journal").read_bytes() == b"kept"
