from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from seglib.data.store import Store
from seglib.errors import StudyFileError
from tune.allotment import Allotment, allot, require_place, say_shares, settle, survey
from tune.gpu_share import CONTEXT_GB, largest_memory_gb
from tune.nodes import Node
from tune.start_records import read_starts

HEAD = Node("a", "10.0.0.1", 0)
CPUS = Node("b", "10.0.0.2", 8)
GPUS = Node("c", "10.0.0.3", 16, 2, "H200", 140.0)
STUDY = """\
name: shared
method: random
data: {layout: phantom-brats, cases: 8, image_size: 64, target: regions}
run_cap: 4
parameters: {epochs: {value: 3}}
"""


def test_more_gpus_than_this_machine_has_are_refused(load) -> None:
    count = torch.cuda.device_count() + 1
    study = load(STUDY, f"resources.gpus_per_trial={count}")
    with pytest.raises(StudyFileError, match=r"gpus_per_trial: found .* as this machine has"):
        require_place(study, "local")
    require_place(load(STUDY), "local")
    assert survey(study, "local", []) is None


@pytest.mark.parametrize("share", [1.5, 2.25])
def test_share_of_several_gpus_is_refused_with_the_file(load, share: float) -> None:
    with pytest.raises(StudyFileError, match="at most 1 for a share of a GPU, or a whole number"):
        load(STUDY, f"resources.gpus_per_trial={share}")


@pytest.mark.parametrize(
    ("wish", "place"),
    [
        ({"gpus_per_trial": 4}, ["resources.gpus_per_trial: found 4 GPUs ; wanted at most 2"]),
        ({"cpus_per_trial": 32}, ["resources.cpus_per_trial: found 32 CPUs ; wanted at most 16"]),
        (
            {"cpus_per_trial": 32, "gpus_per_trial": 3},
            ["resources.cpus_per_trial: found 32", "resources.gpus_per_trial: found 3 GPUs"],
        ),
    ],
)
def test_trial_that_no_node_can_hold_is_refused(
    load, store: Store, wish: dict[str, float], place: list[str]
) -> None:
    study = load(STUDY, *(f"resources.{name}={value}" for name, value in wish.items()))
    with pytest.raises(StudyFileError) as refused:
        allot(study, store, [HEAD, CPUS, GPUS])
    text = (
        str(refused.value).replace(";", " ;")
        if " ; " not in str(refused.value)
        else str(refused.value)
    )
    assert all(part in text for part in place), text
    assert "largest node: 16 CPUs, 2 GPUs" in text
    assert "3 nodes: 10.0.0.1 (0 CPUs)" in text
    assert "autoscaler" in text


def test_what_two_nodes_have_together_is_not_enough(load, store: Store) -> None:
    study = load(STUDY, "resources.gpus_per_trial=2", "resources.cpus_per_trial=12")
    nodes = [Node("x", "10.0.0.8", 16, 1), Node("y", "10.0.0.9", 4, 2)]
    with pytest.raises(StudyFileError, match=r"found 12 CPUs and 2 GPUs.*what one node has"):
        allot(study, store, nodes)


def test_number_of_trials_at_once_excuses_no_impossible_trial(load, store: Store) -> None:
    study = load(STUDY, "resources.gpus_per_trial=4", "resources.concurrent=6")
    with pytest.raises(StudyFileError, match="found 4 GPUs"):
        allot(study, store, [HEAD, CPUS])
    possible = load(STUDY, "resources.gpus_per_trial=2", "resources.concurrent=6")
    assert allot(possible, store, [HEAD, GPUS]) == Allotment(1, 2.0, 6)


def test_part_of_a_core_is_cut_the_same_everywhere(load, store: Store) -> None:
    """By 1.9 cores a node of 16 would have room for 8, and a GPU with two cores for one."""
    study = load(STUDY, "resources.cpus_per_trial=1.9")
    found = allot(study, store, [Node("g", "10.0.0.7", 2, 1, "", 140.0)])
    assert found == Allotment(1, 0.5, None)


def test_on_a_cluster_the_nodes_say_how_many_run_at_once(load, store: Store) -> None:
    assert allot(load(STUDY), store, [HEAD, CPUS]) == Allotment(1, 0.0, None)


def test_here_no_more_are_asked_for_than_can_run(
    load, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    study = load(STUDY, "resources.gpus_per_trial=0", "resources.cpus_per_trial=3")
    assert allot(study, store, None) == Allotment(3, 0.0, 2)
    few = load(STUDY, "resources.gpus_per_trial=0", "resources.concurrent=1")
    assert allot(few, store, None) == Allotment(1, 0.0, 1)


def test_smallest_gpu_of_the_cluster_decides(load, store: Store) -> None:
    study = load(STUDY)
    needed = CONTEXT_GB + largest_memory_gb(
        study, channels=store.channels, num_logits=3, image_size=store.image_size
    )
    half = Node("d", "10.0.0.4", 16, 2, "", 2.5 * needed)
    assert allot(study, store, [HEAD, CPUS, GPUS]).gpus == 0.125
    assert allot(study, store, [HEAD, CPUS, GPUS, half]).gpus == 0.5
    few_cores = Node("e", "10.0.0.5", 2, 2, "", 140.0)
    assert allot(study, store, [GPUS, few_cores]).gpus == 1.0


def test_gpu_that_nobody_can_ask_is_not_shared(load, store: Store) -> None:
    assert allot(load(STUDY), store, [Node("f", "10.0.0.6", 4, 2)]).gpus == 1.0


def test_gpu_without_cores_for_a_trial_does_not_count(load, store: Store) -> None:
    study = load(STUDY, "resources.cpus_per_trial=4")
    assert allot(study, store, [CPUS, Node("g", "10.0.0.7", 2, 1, "", 8.0)]).gpus == 0.0


def test_nodes_that_take_part_are_named(load) -> None:
    study = load(STUDY)
    assert say_shares(study, [HEAD, CPUS, GPUS], Allotment(1, 0.5, None)) == (
        "cluster: 1 of 3 nodes take part, 4 trials at once, each with 1 CPU and 0.5 GPU: "
        "10.0.0.3 (4); too small: 10.0.0.1 (0 CPUs), 10.0.0.2 (8 CPUs)\n"
    )
    assert say_shares(study, None, Allotment(1, 0.5, 3)) == ""
    assert "too small" not in say_shares(study, [CPUS], Allotment(2, 0.0, None))


def test_search_that_trains_on_cpus_for_want_of_a_gpu_says_so(load) -> None:
    open_, fixed = load(STUDY), load(STUDY, "resources.gpus_per_trial=0")
    on_cpus = Allotment(1, 0.0, None)
    assert say_shares(open_, [CPUS], on_cpus).endswith("\nno node has a GPU: trials run on CPUs\n")
    assert say_shares(open_, [CPUS, GPUS], Allotment(32, 0.0, None)).endswith(
        "\nno node with the cores for a trial has a GPU: trials run on CPUs\n"
    )
    assert "GPU" not in say_shares(fixed, [CPUS], on_cpus)
    assert "run on CPUs" not in say_shares(open_, [GPUS], Allotment(1, 0.5, None))


def test_nodes_that_take_part_are_written_down_with_the_number_format() -> None:
    old = replace(CPUS, processor="Old", cpu_format="fp32")
    new = replace(GPUS, processor="New", cpu_format="bf16", gpu_format="bf16")
    allotment, record, said = settle(Allotment(1, 0.0, None), [HEAD, old, new], [])
    assert allotment.precision == record["auto_precision"] == "fp32"
    assert "bf16 on 10.0.0.3" in said
    assert [node["processor"] for node in record["nodes"]] == ["Old", "New"]
    assert read_starts(json.dumps({"starts": [record]}).encode()) == [record]
    allotment, record, said = settle(Allotment(1, 0.5, None), [HEAD, old, new], [])
    assert (allotment.precision, said) == ("bf16", "")
    assert record["nodes"] == [
        {"address": "10.0.0.3", "cpus": 16, "gpus": 2, "kind": "H200", "gpu_memory_gb": 140.0,
         "processor": "New"}
    ]  # fmt: skip


def test_on_this_machine_no_nodes_are_written_down() -> None:
    allotment, record, said = settle(Allotment(1, 0.0, 2), None, [])
    assert record == {"auto_precision": allotment.precision}
    assert said == ""
