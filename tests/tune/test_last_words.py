"""Ray's own words, as they were read from its errors."""

from __future__ import annotations

from tests.tune.test_at_work import MISSING, SUPERSEDED
from tune.last_words import find_missing, find_superseded


def test_package_that_a_node_lacks_is_told_with_the_node() -> None:
    assert find_missing(MISSING) == ("10.0.0.2", "ModuleNotFoundError: No module named 'tune'")
    assert find_missing("The actor died unexpectedly, ip=10.0.0.2") == ("", "")
    nowhere = "ImportError: libGL.so.1: cannot open shared object file"
    assert find_missing(nowhere) == ("", nowhere)


def test_process_that_was_cut_off_says_by_whom() -> None:
    assert find_superseded(SUPERSEDED) == "taken up by pid 9 on b"
    assert find_superseded(MISSING) == ""
