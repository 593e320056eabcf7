"""What every test of deaths is held against: the same search, left in peace."""

from __future__ import annotations

import pytest

from tests.chaos.driver import assert_sound, finish, new_folder
from tune.entries import Entry


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    folder = new_folder(tmp_path_factory.mktemp("undisturbed"))
    finish(folder)
    return assert_sound(folder)
