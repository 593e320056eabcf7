from __future__ import annotations

import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from seglib.data.store import Store
from seglib.errors import RunError
from tests.tune.reporting.runs import make_run, write_study
from tune.cli import main
from tune.reporting import views
from tune.reporting.comparisons import compare
from tune.reporting.drawing import Drawing
from tune.reporting.evidence import RunData
from tune.reporting.page import add_report, show_report, write_report
from tune.reporting.terminal_table import render_points
from tune.run_directory import RunDirectory

VOID = {"br", "input", "meta"}


class Reader(HTMLParser):
    """Checks that elements close in order; gathers ids, links, addresses and headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, known)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, tag: str, known: dict[str, str | None]) -> None:
        self.ids += [known["id"]] if known.get("id") else []  # type: ignore[list-item]
        self.links += [str(known["href"])[1:]] if tag == "a" else []
        self.addresses += [str(known[name]) for name in ("src", "href") if known.get(name)]
        if tag == "svg" and known.get("aria-hidden") != "true":
            self.pictures.append(known.get("aria-label") or "")


def read(page: Path) -> tuple[str, Reader]:
    text = page.read_text(encoding="utf-8")
    return text, Reader(text)


@pytest.fixture(scope="module")
def shown(_played: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The page of a complete grid, and what the command printed."""
    run = tmp_path_factory.mktemp("shown") / "task1"
    shutil.copytree(_played / "lab" / "task1", run)
    console = Console(file=io.StringIO(), width=160)
    show_report(run, console)
    assert isinstance(console.file, io.StringIO)
    return run / "report.html", console.file.getvalue()


def test_page_is_one_sound_file_that_needs_no_network(shown: tuple[Path, str]) -> None:
    text, page = read(shown[0])
    assert len(text) < 3_000_000
    assert all(address.startswith("#") for address in page.addresses)
    assert text.count("<script") == 1
    assert "@import" not in text
    assert re.findall(r"https?://[^\"'< ]+", text.replace("http://www.w3.org/", "")) == []
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.links) <= set(page.ids)
    assert all(page.pictures)
    # forest plot, all trials, two panels of curves, three costs, cases
    assert len(page.pictures) == 8


def test_page_says_what_there_is_to_say(shown: tuple[Path, str]) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown[0].read_text()))
    for said in (
        "PHANTOMS: the images are generated",
        "scores would compare nothing",
        "Last epoch, ± SD over 3 seeds",
        "better by ",
        "1 comparison; it differs from 0 (95 %), also after",
        "1 Dice point = 0.01",
        "Dice (soft)",
        "As many a notebook would have scored this",
        "0.9998",
        "slices that show nothing of the body were left out",
        "policy “skip”",
        "crossed random effects",
        "torch ",
    ):
        assert said in text, said


def test_figures_are_beside_the_page(shown: tuple[Path, str]) -> None:
    folder = shown[0].parent / "figures"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "cases.png", "cost-memory.png", "cost-parameters.png", "cost-seconds.png", "curves.png",
        "effects.png", "trials.png",
    ]  # fmt: skip
    for name in names:
        with Image.open(folder / name) as image:
            image.verify()


def test_command_prints_the_table_and_the_place(shown: tuple[Path, str]) -> None:
    page, text = shown
    assert "PHANTOMS" in text
    assert re.search(r"1a +0\.\d+ ± ", text)
    assert "6 of 6 trials complete" in text
    assert f"report: {page}" in text


@pytest.mark.slow
def test_suite_is_one_page_with_all_tasks(suite: Path) -> None:
    text, page = read(write_report(suite))
    for name in ("1a", "1b", "2a", "2b"):
        assert re.search(rf'<th scope="row">{name}<', text)
    assert len(page.pictures) == 1 + 2 * 7
    names = {path.name for path in (suite / "figures").iterdir()}
    assert names >= {"effects.png", "task1-cases.png", "task2-cases.png", "task2-trials.png"}
    assert len(names) == 1 + 2 * 6


@pytest.mark.slow
def test_search_at_work_has_a_page_too_and_nothing_of_it_changes(partial: Path) -> None:
    def snapshot() -> list[tuple[str, int, bytes]]:
        files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        kept = [path for path in files if path.name != "report.html" and path.suffix != ".png"]
        return [(str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in kept]

    with RunDirectory(partial).locked():
        before = snapshot()
        text, _ = read(write_report(partial))
        assert snapshot() == before
    assert "8 of 12 trials have not started." in text
    assert "no figures of a last epoch, so in no comparison: 2b" in text


@pytest.mark.slow
def test_page_written_at_the_end_does_not_call_the_search_running(partial: Path) -> None:
    """Also where a trial was left unfinished, as by a budget: its folder is still held."""
    console = Console(file=io.StringIO(), width=160)
    with RunDirectory(partial).locked():
        write_report(partial)
        assert "The search is running" in (partial / "report.html").read_text()
        add_report(partial, console)
    text = (partial / "report.html").read_text()
    assert "The search is running" not in text
    assert "2b (trial 3, seed 0) is not finished" in text


def test_search_that_has_only_begun_has_a_page_and_names_are_no_markup(
    tmp_path: Path, store: Store
) -> None:
    study = write_study(tmp_path / "odd.yaml", "batch")
    study.write_text(study.read_text().replace("1a", '"<b>$x$</b>"'))
    text, _ = read(write_report(make_run(tmp_path / "odd", store, study, finish=0).path))
    assert "nothing can be compared" in text
    assert "There are no figures per case of a last epoch." in text
    assert "<b>" not in text
    assert "&lt;b&gt;$x$&lt;/b&gt;" in text


def test_of_very_many_comparisons_the_page_has_those_that_say_most(
    suite_data: tuple[RunData, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_MOST_EFFECTS", 3)
    monkeypatch.setattr(views, "draw_effects", lambda effects, alt: Drawing(str(len(effects)), b""))
    blocks = compare(suite_data)
    (block,) = views._view_effects(blocks, blocks[0].effects, {})["blocks"]
    assert block["forest"] == "3"
    rows = [row for factor in block["factors"] for row in factor["rows"]]
    assert sum(row["pooled"] for row in rows) == 2  # of both factors
    assert len(rows) == 3
    assert block["notes"][0].startswith("3 of 6 comparisons are shown")


def test_failure_leaves_the_page_of_before(task: Path) -> None:
    page = task / "report.html"
    page.write_text("before")
    (task / "trials" / "0" / "final.csv").write_text("")
    with pytest.raises(RunError, match="table: found"):
        write_report(task)
    assert page.read_text() == "before"
    assert not (task / "figures").exists()


@pytest.mark.parametrize("wide", [False, True])
def test_table_fits_the_terminal(suite_data: tuple[RunData, ...], wide: bool) -> None:
    width = 150 if wide else 80
    console = Console(file=io.StringIO(), width=width)
    console.print(render_points(suite_data, wide=wide))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert sum(bool(re.match(r" 1a .*3 of 3", line)) for line in lines) == 1


def test_folder_that_is_no_run_is_refused_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "found no study.yaml, here or one folder down" in capsys.readouterr().err
    with pytest.raises(RunError, match="wanted a run directory"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fault_in_the_report_spoils_nothing(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    add_report(tmp_path, console)
    assert isinstance(console.file, io.StringIO)
    assert "no report was written: RunError" in console.file.getvalue()
