from __future__ import annotations

import re
from pathlib import Path

from tune.reporting.citation import cite
from tune.reporting.evidence import RunData, gather

ROOT = Path(__file__).parents[3]


def test_software_is_cited_as_its_citation_file_says(search: RunData) -> None:
    known = (ROOT / "CITATION.cff").read_text()
    entry = cite([search], importance=False).split("\n\n")[0]
    for pattern, wanted in (
        (r"^version: (.+)$", "version = {{{}}}"),
        (r"^date-released: (\d+)", "year    = {{{}}}"),
        (r"- name: (.+)$", "author  = {{{{{}}}}}"),
    ):
        found = re.search(pattern, known, re.MULTILINE)
        assert found is not None
        assert wanted.format(found[1]) in entry


def test_what_was_used_is_cited_and_nothing_else(search: RunData, task: Path) -> None:
    searched = set(re.findall(r"@\w+\{(\w+),", cite([search], importance=True)))
    assert searched == {
        "segtune", "ronneberger2015unet", "akiba2019optuna", "liaw2018tune", "li2020system",
        "watanabe2023pedanova",
    }  # fmt: skip
    grid = set(re.findall(r"@\w+\{(\w+),", cite(gather(task), importance=False)))
    assert grid == {"segtune", "ronneberger2015unet", "akiba2019optuna", "liaw2018tune"}


def test_braces_of_bibtex_are_balanced(search: RunData) -> None:
    for entry in cite([search], importance=True).split("\n\n"):
        assert entry.count("{") == entry.count("}")
        assert entry.endswith("\n}")
