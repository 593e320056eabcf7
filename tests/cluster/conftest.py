"""What every cluster is held against, and drivers of which none outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.driver import Driver, assert_sound, finish
from tests.cluster.nodes import Cluster
from tests.cluster.studies import EPOCHS, Start, new_grid, start_on
from tune.entries import Entry


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """The same study, run by a Ray of its own in peace."""
    folder = new_grid(tmp_path_factory.mktemp("undisturbed"))
    finish(folder)
    return assert_sound(folder, epochs=EPOCHS)


@pytest.fixture(scope="package")
def shared() -> Iterator[Cluster]:
    """One start serves all tests that do not end the cluster itself."""
    with Cluster(workers=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """Three nodes; what a test before has killed is replaced."""
    for node in [node for node in shared.nodes if not node.is_up]:
        shared.nodes.remove(node)
        shared.add_node()
    for node in shared.nodes:
        node.forget()
    return shared


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the search of a folder on a cluster; what a test that failed left is ended."""
    drivers: list[Driver] = []

    def start(*words: object, **options: object) -> Driver:
        drivers.append(start_on(*words, **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.process.poll() is None:
            driver.kill()
        driver.process.stdout.close()
