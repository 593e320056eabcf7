"""A real Chromium without a window, for tests of pages: the one that the system has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

__all__ = ["Visit", "running_chromium", "visiting"]

PHONE_PX, DESK_PX = 390, 1280


@dataclass(frozen=True)
class Visit:
    """A page that is open.

    Args:
        page: As Playwright drives it.
        complaints: What its console said and what its script raised.
        requests: Whatever it asked for besides itself.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def is_too_wide(self) -> bool:
        """Must one scroll sideways to read the page?"""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser; where Chromium is not installed, the test is skipped.

    With ``SEGTUNE_ALL_TOOLS=1`` it fails instead.

    Yields:
        The browser.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        reason = "not installed: chromium (Debian: apt install chromium)"
        if os.environ.get("SEGTUNE_ALL_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        # root, as in a container, may not use the sandbox; the pages are our own
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(
    browser: Browser, path: Path, *, width: int = DESK_PX, dark: bool = False, script: bool = True
) -> Iterator[Visit]:
    """Open a file as a reader would.

    Args:
        browser: From :func:`running_chromium`.
        path: The page.
        width: Of the window, in CSS pixels.
        dark: Does the system prefer dark pages?
        script: May the page run its script?

    Yields:
        The visit.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
    )
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    address = path.resolve().as_uri()

    def note(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            visit.requests.append(request.url)

    visit.page.on("request", note)
    try:
        visit.page.goto(address)
        yield visit
    finally:
        context.close()
