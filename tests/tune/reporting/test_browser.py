"""The report in a real Chromium: what a reader sees, does and is spared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.chromium import DESK_PX, PHONE_PX, running_chromium, visiting
from tune.reporting.page import write_report
from tune.run_directory import RunDirectory

pytestmark = pytest.mark.slow

SCORE = "table.board thead th:nth-child(2) button"
RATE = "table.board thead th:nth-child(10) button"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(search_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search at work."""
    run = Path(shutil.copytree(search_folder, tmp_path_factory.mktemp("shown") / "search"))
    with RunDirectory(run).locked():
        return write_report(run)


@pytest.fixture(scope="module")
def suite_report(_played: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two grids."""
    folder = tmp_path_factory.mktemp("shown") / "lab"
    return write_report(Path(shutil.copytree(_played / "lab", folder)))


def column(page: Page, place: int, attribute: str = "data-key") -> list[str]:
    cells = page.locator(f"table.board tbody tr > :nth-child({place})").all()
    return [str(cell.get_attribute(attribute)) for cell in cells]


@pytest.mark.parametrize("width", [DESK_PX, PHONE_PX])
@pytest.mark.parametrize("which", ["report", "suite_report"])
def test_page_is_quiet_asks_for_nothing_and_fits(
    browser: Browser, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    with visiting(browser, path, width=width) as visit:
        everything = "nav a, summary, button.sort, button.pin, button.theme, .overlay input"
        count = visit.page.evaluate(
            "(what) => { const all = document.querySelectorAll(what);"
            " all.forEach((one) => one.click()); return all.length; }",
            everything,
        )
        assert count > 20
        assert not visit.is_too_wide()
        assert visit.complaints == []
        assert visit.requests == []


def test_leaderboard_sorts_by_any_column_both_ways(browser: Browser, report: Path) -> None:
    with visiting(browser, report) as visit:
        page, head = visit.page, visit.page.locator(RATE).locator("xpath=..")
        best_first = column(page, 1)
        page.click(RATE)
        assert head.get_attribute("aria-sort") == "ascending"
        rates = list(map(float, column(page, 10)))
        assert rates == sorted(rates)
        assert "ascending" in page.locator("#said").inner_text()
        page.click(RATE)
        assert list(map(float, column(page, 10))) == sorted(rates, reverse=True)
        momentum = "table.board thead th:nth-child(12) button"
        for _ in range(2):  # what has none is last either way
            page.click(momentum)
            keys = column(page, 12)
            count = sum(map(bool, keys))
            assert 0 < count < len(keys)
            assert not any(keys[count:])
        page.click(SCORE)
        assert column(page, 1) == best_first
        assert page.locator("table.board th[aria-sort]").count() == 1


def test_keyboard_alone_sorts_finds_and_pins(browser: Browser, report: Path) -> None:
    with visiting(browser, report) as visit:
        page = visit.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.url.endswith("#leaderboard")
        page.focus(RATE)
        page.keyboard.press("Enter")
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith("learning")
        pin = page.locator("table.board button.pin").first
        pin.focus()
        page.keyboard.press("Space")
        assert pin.get_attribute("aria-pressed") == "true"
        number = pin.inner_text()
        pinned = page.locator(f"svg [data-trial='{number}'].pinned")
        assert pinned.count() >= 4  # curves, parallel coordinates, slices
        page.keyboard.press("Space")
        assert page.locator(".pinned").count() == 0
        page.fill(".tools input", "sgd stopped")
        shown = page.locator("table.board tbody tr:visible")
        assert 0 < shown.count() < 14
        for row in shown.all():
            assert "sgd" in row.inner_text()
        assert page.locator(".tools output").inner_text() == f"{shown.count()} of 14 trials"


def test_everything_that_acts_has_a_name_and_a_place_for_the_keyboard(
    browser: Browser, report: Path
) -> None:
    with visiting(browser, report) as visit:
        page = visit.page
        nameless = page.evaluate("""
            [...document.querySelectorAll("button, input, a, svg[role], [role=region], progress")]
            .filter((one) => !one.ariaLabel && !one.textContent.trim() && !one.labels?.length)
            .map((one) => one.outerHTML.slice(0, 200))
        """)
        assert nameless == []
        # what scrolls sideways can be reached and scrolled without a mouse
        stuck = """[...document.querySelectorAll(".scroll")].filter((one) => one.tabIndex !== 0)"""
        assert page.evaluate(f"{stuck}.length") == 0
        levels = page.evaluate(
            """[...document.querySelectorAll("h1, h2, h3")].map((one) => Number(one.tagName[1]))"""
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_dark_and_light_follow_the_system_until_asked(browser: Browser, report: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = """getComputedStyle(document.querySelector("svg text")).fill"""
    found = {}
    for dark in (False, True):
        with visiting(browser, report, dark=dark) as visit:
            found[dark] = [visit.page.evaluate(one) for one in (ground, ink)]
            visit.page.click("button.theme")
            changed = [visit.page.evaluate(one) for one in (ground, ink)]
            visit.page.reload()
            assert [visit.page.evaluate(one) for one in (ground, ink)] == changed
            found[not dark, "asked"] = changed
    assert found[True] != found[False]
    assert found[True] == found[True, "asked"]
    assert found[False] == found[False, "asked"]


def test_text_stands_out_from_its_ground(browser: Browser, report: Path) -> None:
    """At least 4.5 to 1, as WCAG AA asks, in both."""
    ratio = """() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim().slice(1);
        const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
          .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const pairs = ["--ink", "--muted", "--accent", "--red"]
        .flatMap((text) => ["--page", "--card"].map((ground) => [light(text), light(ground)]));
      const ratio = (pair) => (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      return Math.min(...pairs.map(ratio));
    }"""
    for dark in (False, True):
        with visiting(browser, report, dark=dark) as visit:
            assert visit.page.evaluate(ratio) >= 4.5


def test_page_says_all_without_its_script(browser: Browser, report: Path) -> None:
    with visiting(browser, report, script=False) as visit:
        page = visit.page
        assert page.locator("table.board tbody tr").count() == 14
        assert page.locator("button:visible, input:visible").count() == 0
        assert visit.complaints == []


def test_script_of_another_is_not_run(browser: Browser, report: Path, tmp_path: Path) -> None:
    """Whatever a run directory holds gets into the page: as text, and no browser runs it."""
    path = tmp_path / "altered.html"
    altered = report.read_text().replace(
        "</main>", "<script>document.title = 'seen'</script></main>"
    )
    path.write_text(altered)
    with visiting(browser, path) as visit:
        assert visit.page.title() == "search: report of a search"
        assert any("Content Security Policy" in text for text in visit.complaints)


def test_search_at_work_says_how_far_it_is(browser: Browser, report: Path) -> None:
    with visiting(browser, report, width=PHONE_PX) as visit:
        said = visit.page.locator(".atwork").inner_text()
        assert "13 of 14 trials have ended, 1 in training" in said
        assert visit.page.locator("progress").get_attribute("value") == "13"
