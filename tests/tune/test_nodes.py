from __future__ import annotations

import pickle
import socket
import time

import pytest

from tune import joined
from tune.joined import Pulse
from tune.nodes import Node, fit_in_all, room_on, say_nodes
from tune.room import Room

LARGE = Node("b", "10.0.0.2", 16, 2, "H200")
SMALL = Node("c", "10.0.0.3", 4, 1)
HEAD = Node("a", "10.0.0.1", 0)


@pytest.mark.parametrize(
    ("node", "cpus", "gpus", "trials"),
    [
        (LARGE, 1, 0, 16),
        (LARGE, 3, 0, 5),
        (LARGE, 1, 1, 2),
        (LARGE, 1, 2, 1),
        (LARGE, 1, 3, 0),
        (LARGE, 1, 0.5, 4),
        (LARGE, 1, 0.3333, 6),  # Ray counts four places
        (LARGE, 1, 0.4, 4),  # two on each; what is left on both makes no fifth
        (LARGE, 1, 0.7, 2),
        (LARGE, 5, 0.25, 3),  # cores end first
        (SMALL, 1, 2, 0),
        (HEAD, 1, 0, 0),
        (Node("d", "10.0.0.4", 7, 0.5), 1, 0.25, 2),  # of another search is the other half
        (Node("d", "10.0.0.4", 7, 1.5), 1, 0.6, 1),
    ],
)
def test_room_on_a_node_follows_rays_rules(node: Node, cpus: int, gpus: float, trials: int) -> None:
    assert room_on(node, cpus, gpus) == trials


def test_nodes_are_counted_each_for_itself() -> None:
    """Seven cores in two nodes hold no trial of five."""
    halves = [Node("x", "10.0.0.8", 4), Node("y", "10.0.0.9", 3)]
    assert fit_in_all(halves, 5, 0) == 0
    assert fit_in_all(halves, 2, 0) == 3
    assert fit_in_all([HEAD, LARGE, SMALL], 1, 1) == 3


def test_cluster_is_told_in_half_a_sentence() -> None:
    assert say_nodes([HEAD, LARGE, SMALL]) == (
        "largest node: 16 CPUs, 2 GPUs; 3 nodes: 10.0.0.1 (0 CPUs); "
        "10.0.0.2 (16 CPUs, 2 GPUs H200); 10.0.0.3 (4 CPUs, 1 GPU)"
    )
    assert say_nodes([SMALL] * 40).endswith("; and 36 more")
    assert say_nodes([]) == "the cluster has no node"


def test_a_ray_of_our_own_has_the_room_that_it_was_given() -> None:
    room = Room(1, 0, concurrent=3)
    room.look(at_work=2)
    assert room.most(at_work=2) == 3
    assert Room(1, 0, concurrent=None).most(at_work=9) is None
    assert not room.is_joined
    assert room.find_dead() == room.find_lost("node") == room.node_of("actor") == ""


@pytest.mark.slow
def test_nothing_new_is_asked_for_while_the_head_is_silent() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"
    with Pulse(address) as pulse:
        fixed, counted = Room(1, 0, 7, pulse), Room(1, 0, None, pulse)
        assert fixed.most(at_work=0) == 7
        assert counted.most(at_work=0) == 1  # until it has looked
        server.close()
        until = time.monotonic() + joined.SILENCE_S
        while pulse.is_fresh:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert fixed.most(at_work=0) == counted.most(at_work=0) == 0
        counted.look(at_work=1)  # asks Ray nothing, which would wait
        assert counted.find_lost("node") == ""
        assert counted.find_dead() == ""


def test_room_is_nothing_to_write_to_disk() -> None:
    room = Room(1, 0, 7, Pulse("127.0.0.1:1"))  # a thread's lock cannot be written
    assert pickle.loads(pickle.dumps(room)).__dict__ == {}


def test_search_ends_when_no_node_has_fitted_for_half_an_hour() -> None:
    said: list[str] = []
    room = Room(4, 0.5, 2, halt=said.append)
    for seconds in (3.0, 1790.0):
        room._count_without_room(0, seconds, [HEAD])
    room._count_without_room(1, 30.0, [LARGE])  # one came, and went
    room._count_without_room(0, 1790.0, [HEAD])
    assert said == []
    room._count_without_room(0, 10.0, [HEAD])
    assert said == [
        "for 30 min no living node was large enough for a trial, which wants 4 CPUs and 0.5 GPU "
        "(largest node: 0 CPUs, 0 GPUs; 1 node: 10.0.0.1 (0 CPUs)); the same command goes on "
        "once there is one"
    ]
