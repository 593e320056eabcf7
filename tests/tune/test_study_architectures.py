"""Networks in a study file: fields count where they mean something, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglib.architectures import LIBRARIES
from seglib.errors import StudyFileError
from tune.entries import recipe_key
from tune.request import Request

BOTH = """\
method: grid
parameters:
  architecture: {values: [unet, smp_fpn]}
  base_filters: {values: [8, 16]}
  encoder: {values: [resnet18, mobilenet_v2]}
  dropout: {values: [0.0, 0.2]}
  epochs: {value: 5}
"""


def test_field_counts_only_for_networks_that_have_it(load):
    space = load(BOTH).space
    assert space["base_filters"].when == {"architecture": ("unet",)}
    assert space["encoder"].when == {"architecture": ("smp_fpn",)}
    assert space["dropout"].when == {}
    assert space["epochs"].when == {}


def test_grid_trains_no_network_twice(load):
    rows = [row.values for row in load(BOTH).rows]
    assert len(rows) == 2 * (2 + 2)  # dropout, and width or encoder
    assert not any("encoder" in row for row in rows if row["architecture"] == "unet")


def test_condition_that_was_written_is_narrowed_by_nothing(load):
    text = BOTH.replace(
        "values: [0.0, 0.2]", "values: [0.0, 0.2], when: {architecture: smp_fpn}"
    ).replace("[resnet18, mobilenet_v2]", "[resnet18, mobilenet_v2], when: {dropout: 0.2}")
    space = load(text).space
    assert space["dropout"].when == {"architecture": ("smp_fpn",)}
    assert space["encoder"].when == {"dropout": (0.2,), "architecture": ("smp_fpn",)}


def test_field_of_other_networks_is_refused(problems):
    text = BOTH.replace("[unet, smp_fpn]", "[smp_unet, smp_fpn]")
    assert problems(text) == [
        "parameters.base_filters (line 4): found a parameter that is never active: base_filters "
        "means nothing to smp_unet or smp_fpn ; wanted it with the architecture unet, "
        "monai_basicunet, monai_attention_unet, monai_dynunet or monai_segresnet"
    ]


def test_field_of_other_networks_is_refused_where_none_is_named(problems):
    (told,) = problems("method: bayes\nparameters: {encoder: {values: [resnet18, resnet34]}}\n")
    assert "encoder means nothing to unet" in told
    assert "hint: give architecture under parameters, too" in told


def test_condition_on_a_network_without_the_field_is_refused(problems):
    (told,) = problems(BOTH + "  depth: {value: 3, when: {architecture: [unet, smp_fpn]}}\n")
    place = "parameters.depth.when.architecture (line 8)"
    assert told.startswith(f"{place}: found networks without it: depth means nothing to smp_fpn")


def test_architecture_waits_for_nothing(problems):
    text = BOTH.replace("[unet, smp_fpn]", "[unet, smp_fpn], when: {epochs: 5}")
    (told,) = problems(text)
    assert "(line 3): found a condition ; wanted none" in told


@pytest.mark.parametrize(
    ("option", "left"),
    [
        ("architecture=smp_fpn", {"architecture", "encoder", "dropout", "epochs"}),
        ("architecture=unet", {"architecture", "base_filters", "dropout", "epochs"}),
        ("architecture.value=monai_dynunet", {"architecture", "base_filters", "epochs"}),
    ],
)
def test_fields_give_way_where_the_network_is_replaced(load, option, left):
    assert set(load(BOTH, option).space.names) == left


def test_command_line_has_the_last_word_over_the_demo_part(load):
    text = BOTH.replace("  architecture: {values: [unet, smp_fpn]}\n  base", "  base")
    text = text.replace("  encoder: {values: [resnet18, mobilenet_v2]}\n", "")
    text += "demo:\n  parameters: {base_filters: {values: [4, 8]}}\n"
    names = load(text, "architecture=smp_unet", demo=True).space.names
    assert set(names) == {"architecture", "epochs"}


def test_study_that_was_resolved_is_the_same_again(load):
    from tune.yaml_lines import write_yaml

    study = load(BOTH)
    assert load(write_yaml(study.resolved())) == study


def test_networks_that_may_be_trained_are_known_beforehand(load):
    assert load("method: random\nparameters: {epochs: {value: 5}}\n").architectures == ("unet",)
    text = BOTH + "points:\n  - {architecture: smp_unet, dropout: 0.0}\n"
    assert load(text).architectures == ("unet", "smp_fpn", "smp_unet")


def test_missing_library_is_told_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(BOTH + "data: {layout: phantom-xray, cases: 8, image_size: 64}\n")
    assert Request(path).load().architectures == ("unet", "smp_fpn")
    title = "segmentation_models.pytorch"
    monkeypatch.setitem(LIBRARIES, "smp", (title, "a_module_that_is_not_here"))
    with pytest.raises(StudyFileError) as caught:
        Request(path).load()
    assert [str(one) for one in caught.value.problems] == [
        f"parameters.architecture: found smp_fpn, and {title} is not installed ; "
        "wanted pip install -e '.[monai]' in segtune's checkout"
    ]
    Request(path, overrides=("architecture=unet",)).load()


def test_recipes_of_older_ledgers_keep_their_keys():
    """As version 0.1.0 wrote them, before a recipe named its network."""
    assert recipe_key({}) == "5f48d0acf54d6c94"
    assert recipe_key({"base_filters": 8, "loss": "dice"}) == "3da4f4588c3094b4"
    assert recipe_key({"architecture": "unet", "encoder": "resnet18"}) == recipe_key({})
    assert recipe_key({"architecture": "smp_unet"}) != recipe_key({})
    assert recipe_key({"architecture": "smp_unet"}) != recipe_key({"architecture": "smp_fpn"})
