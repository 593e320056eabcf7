from __future__ import annotations

import pytest

from seglib.recipe import Recipe
from tune.nodes import Node
from tune.number_format import NumberFormat, formats_of, named, settle_format

NEW = Node("a", "10.0.0.2", 8, 1, cpu_format="bf16", gpu_format="bf16")
OLD = Node("b", "10.0.0.3", 8, 1, cpu_format="fp32", gpu_format="fp16")


def test_nodes_that_agree_need_no_words() -> None:
    own = formats_of([NEW, NEW], on_gpu=True)
    assert settle_format(own, [], on_gpu=True) == NumberFormat("bf16")
    assert settle_format(own, [{"auto_precision": "bf16"}], on_gpu=True) == NumberFormat("bf16")


@pytest.mark.parametrize(("on_gpu", "weakest"), [(True, "fp16"), (False, "fp32")])
def test_where_nodes_differ_all_trials_get_what_all_nodes_have(on_gpu: bool, weakest: str) -> None:
    found = settle_format(formats_of([NEW, OLD], on_gpu=on_gpu), [], on_gpu=on_gpu)
    assert found == NumberFormat(
        weakest,
        f"number format: {weakest} for all trials, as nodes differ in what they compute fast "
        f"(bf16 on 10.0.0.2; {weakest} on 10.0.0.3)",
    )


@pytest.mark.parametrize(
    ("before", "node", "on_gpu"),
    [("fp16", NEW, True), ("fp32", NEW, True), ("fp32", NEW, False), ("fp32", OLD, True)],
)
def test_search_that_goes_on_keeps_its_format_where_nodes_have_it(
    before: str, node: Node, on_gpu: bool
) -> None:
    starts = [{"auto_precision": "bf16"}, {"auto_precision": before}, {"cores": 2}]
    found = settle_format(formats_of([node], on_gpu=on_gpu), starts, on_gpu=on_gpu)
    assert found is not None
    assert found.name == before
    assert "as trials before had" in found.said


@pytest.mark.parametrize(
    ("before", "on_gpu", "then"),
    [("bf16", True, "fp16"), ("bf16", False, "fp32"), ("fp16", False, "fp32")],
)
def test_search_that_goes_on_where_its_format_is_missing_says_so(
    before: str, on_gpu: bool, then: str
) -> None:
    own = formats_of([OLD], on_gpu=on_gpu)
    found = settle_format(own, [{"auto_precision": before}], on_gpu=on_gpu)
    assert found is not None
    assert found.name == then
    assert found.said.startswith(f"warning: number format {then} from now on: trials before had")
    assert f"{then} on 10.0.0.3" in found.said


def test_node_that_was_not_asked_decides_nothing() -> None:
    assert (
        settle_format(formats_of([Node("c", "10.0.0.4", 8)], on_gpu=False), [], on_gpu=False)
        is None
    )


def test_this_machine_has_a_format_too() -> None:
    assert set(formats_of(None, on_gpu=False).values()) <= {"bf16", "fp32"}


def test_only_a_recipe_that_leaves_it_open_gets_the_format() -> None:
    left, said = Recipe(precision="auto"), Recipe(precision="fp32")
    assert named(left, "bf16").precision == "bf16"
    assert named(left, None) == left
    assert named(said, "bf16") == said
