"""Networks of other libraries: built, trained, resumed; they keep to what our own promises."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seglib.architectures import ARCHITECTURES
from seglib.checkpoint import load_checkpoint
from seglib.cost import estimate_checkpoint_gb
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Split, make_splits
from seglib.data.store import Store
from seglib.errors import InfeasibleError
from seglib.evaluate import evaluate
from seglib.fit import fit
from seglib.networks import build_network
from seglib.recipe import Recipe

pytestmark = pytest.mark.slow

OTHERS = [kind for kind, row in ARCHITECTURES.items() if row.library]
SMALL: dict[str, Any] = {
    "base_filters": 4, "depth": 3, "encoder": "mobilenet_v2", "dropout": 0.1, "batch_size": 3,
    "epochs": 2, "learning_rate": 3e-3,
}  # fmt: skip
CPU = torch.device("cpu")


def small(kind: str, **knobs: Any) -> Recipe:
    return Recipe(**{**SMALL, "architecture": kind, **knobs})


def build(kind: str, **knobs: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_network(small(kind, **knobs), num_channels=2, num_logits=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two patients of 64 px: the smallest image that can be halved five times."""
    spec = DataSpec(layout="phantom-brats", cases=2, image_size=64, target="regions")
    return prepare(spec, None, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def split(store: Store) -> Split:
    return make_splits(store.index, SplitSpec(val=0.5, test=0)).search_part()


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("size", [(64, 64), (70, 91)])
def test_logits_have_the_size_of_the_image(kind: str, size: tuple[int, int]) -> None:
    network = build(kind)
    assert [one.shape for one in network(torch.randn(2, 2, *size))] == [(2, 3, *size)]


def test_coarser_levels_of_deep_supervision_are_those_of_our_own() -> None:
    knobs: dict[str, Any] = {"deep_supervision": True}
    ours, theirs = build("unet", **knobs), build("monai_dynunet", **knobs)
    image = torch.randn(2, 2, 45, 30)
    shapes = [[one.shape for one in network(image)] for network in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == SMALL["depth"]
    assert len(theirs.eval()(image)) == 1
    # each pixel of a coarser level is one that the level has, none is skipped
    stacked = theirs.train().get_submodule("network")(torch.randn(1, 2, 32, 32))
    coarse = stacked[:, 1, :, ::2, ::2]
    torch.testing.assert_close(coarse.repeat_interleave(2, -1).repeat_interleave(2, -2),
                               stacked[:, 1])  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_untrained_net_predicts_the_shares_it_was_given(kind: str) -> None:
    recipe = small(kind, deep_supervision=True)
    shares = [0.01, 0.25]
    network = build_network(recipe, num_channels=1, num_logits=2, shares=shares)
    for name in ARCHITECTURES[kind].heads(recipe):
        network.get_parameter(f"network.{name}.weight").data.zero_()
    with torch.no_grad():
        for logits in network.train()(torch.randn(2, 1, 64, 64)):
            found = logits.sigmoid().mean(dim=(0, 2, 3))
            torch.testing.assert_close(found, torch.tensor(shares))


@pytest.mark.parametrize("kind", OTHERS)
def test_fields_that_mean_nothing_change_nothing(kind: str) -> None:
    """And those that do give other weights, or other results from the same."""
    plain: dict[str, Any] = {"dropout": 0.0}
    other: dict[str, Any] = {
        "base_filters": 6, "depth": 2, "norm": "instance", "dropout": 0.5, "residual": True,
        "deep_supervision": True, "lab_exact": True, "encoder": "resnet18",
    }  # fmt: skip
    before = _fingerprint(build(kind, **plain))
    for name, value in other.items():
        after = _fingerprint(build(kind, **{**plain, name: value}))
        assert (after != before) is (name in ARCHITECTURES[kind].fields), name


def _fingerprint(network: nn.Module) -> Any:
    """Shapes of the weights, kinds of layers, and what comes out in training."""
    torch.manual_seed(1)
    with torch.no_grad():
        logits = network(torch.randn(2, 2, 64, 64))
    return [(name, tuple(weight.shape)) for name, weight in network.named_parameters()], [
        round(float(one.double().sum()), 6) for one in logits
    ]


def test_one_image_trains_where_it_is_pooled_to_a_pixel() -> None:
    network = build("smp_deeplabv3plus", batch_size=1)
    network(torch.randn(1, 2, 64, 64))[0].mean().backward()
    assert all(one.grad is not None for one in network.parameters())


@pytest.mark.parametrize("kind", OTHERS)
def test_network_trains_and_is_read_back(
    kind: str, store: Store, split: Split, tmp_path: Path
) -> None:
    recipe = small(kind)
    epochs = []
    for epoch in fit(recipe, store, split, seed=3, device=CPU):
        epoch.save(tmp_path / "last.pt")
        epochs.append(epoch)
    losses = [epoch.figures["train_loss"] for epoch in epochs]
    assert losses[1] < losses[0]
    found = evaluate(tmp_path / "last.pt", store, split.rows(store.index, "val"), device=CPU)
    assert found.scores.dice == pytest.approx(epochs[-1].score, abs=1e-6)
    sizes = {"num_channels": 4, "num_logits": 3}
    size_gb = (tmp_path / "last.pt").stat().st_size / 1e9
    assert 0.5 < size_gb / estimate_checkpoint_gb(recipe, **sizes) <= 1


@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        ("monai_dynunet", {"norm": "instance", "deep_supervision": True}),
        ("smp_unet", {"encoder": "efficientnet-b0"}),  # which leaves out layers by chance
    ],
)
def test_resumed_training_gives_the_same_bits(
    kind: str, knobs: dict[str, Any], store: Store, split: Split, tmp_path: Path
) -> None:
    recipe = small(kind, **knobs)
    states: list[dict[str, Any]] = []
    for epoch in fit(recipe, store, split, seed=3, device=CPU):
        epoch.save(tmp_path / f"{epoch.number}.pt")
    for name in ("resumed", "2"):
        if name == "resumed":
            begun, _ = load_checkpoint(tmp_path / "1.pt")
            for epoch in fit(recipe, store, split, seed=3, device=CPU, resume=begun):
                epoch.save(tmp_path / "resumed.pt")
        states.append(load_checkpoint(tmp_path / f"{name}.pt")[0])
    for name, tensor in states[0]["model"].items():
        assert torch.equal(tensor, states[1]["model"][name]), name
    scores = [[row["score"] for row in state["rows"]] for state in states]
    assert scores[0] == scores[1]


def test_library_that_is_missing_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks", None)  # as Python knows what is not there
    wanted = r"monai_dynunet: MONAI does not load \(.*\): pip install -e '\.\[monai\]' in"
    with pytest.raises(InfeasibleError, match=wanted):
        build("monai_dynunet")
