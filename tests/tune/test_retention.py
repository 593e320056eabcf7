from __future__ import annotations

import os
from pathlib import Path

import pytest

from seglib.checkpoint import load_checkpoint
from seglib.cost import estimate_checkpoint_gb
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import StudyFileError
from seglib.fit import fit
from seglib.recipe import Recipe
from tests.tune.test_ledger import open_ledger, play
from tune.ledger import Ledger, Order
from tune.retention import KEPT, CheckpointKeeper, Quota
from tune.study_file import load_study


def test_only_the_best_ended_trials_keep_their_checkpoints(study_path: Path) -> None:
    ledger = open_ledger(study_path, f"run_cap={KEPT + 4}", "early_terminate.type=none")
    keeper = CheckpointKeeper(ledger, study_path.parent)
    folders = {}
    for number in range(KEPT + 3):
        order = ledger.ask()
        assert order is not None
        folders[number] = study_path.parent / "trials" / str(order.number) / "checkpoint"
        folders[number].mkdir(parents=True)
        for name in ("last.pt", "last.pt.previous", "best.pt"):
            (folders[number] / name).touch()
        if number == 1:
            ledger.report(number, {"epoch": 1, "score": 0.99, "train_loss": 0.1, "seconds": 1.0,
                                   "peak_memory_mb": 1.0})  # fmt: skip
            ledger.finish(number, "diverged: epoch 2")
        elif number < KEPT + 2:
            play(ledger, order, [0.1, (number + 1) / 10, 0.2])
        keeper.finished(number)
    kept = {number for number, folder in folders.items() if folder.exists()}
    running = KEPT + 2
    assert kept == {2, 3, 4, 5, 6, running}  # 0 scored least of six, 1 failed
    for number in kept - {running}:
        assert sorted(path.name for path in folders[number].iterdir()) == ["best.pt", "last.pt"]
    assert (folders[running] / "last.pt.previous").exists()


SIZE = 1000


def predict_gb(recipe: Recipe) -> float:
    """Of a network so small that a test can write its checkpoints."""
    return recipe.base_filters * SIZE / 1e9


class Disk:
    """Writes what trials write, and looks at all of it after every single file."""

    def __init__(self, run_dir: Path, quota: Quota) -> None:
        self.run_dir, self.quota, self.most = run_dir, quota, 0.0

    def folder(self, number: int) -> Path:
        return self.run_dir / "trials" / str(number) / "checkpoint"

    def save(self, order: Order, best: bool) -> None:
        """As an epoch does; see ``save_checkpoint`` and ``tune.trial``."""
        folder = self.folder(order.number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.pt.tmp").write_bytes(b"x" * int(predict_gb(order.recipe) * 1e9))
        self.look()
        if (folder / "last.pt").exists():
            (folder / "last.pt").replace(folder / "last.pt.previous")
        (folder / "last.pt.tmp").replace(folder / "last.pt")
        if best:
            (folder / "best.pt").unlink(missing_ok=True)
            os.link(folder / "last.pt", folder / "best.pt")

    def look(self) -> None:
        states = [file.stat() for file in self.run_dir.rglob("*") if file.is_file()]
        used_gb = sum({state.st_ino: state.st_size for state in states}.values()) / 1e9
        assert used_gb <= self.quota.gb
        self.most = max(self.most, used_gb)


@pytest.mark.fault("disk")
@pytest.mark.parametrize("room_for_ended", [2, 5])
def test_checkpoints_of_a_whole_search_stay_within_the_quota_at_all_times(
    study_path: Path, tmp_path: Path, room_for_ended: int
) -> None:
    largest, concurrent = 4 * SIZE / 1e9, 2
    quota = Quota((4 * concurrent + room_for_ended) * largest, concurrent, predict_gb)
    disk = Disk(tmp_path / "run", quota)
    ledger = open_ledger(study_path, "run_cap=10", "early_terminate.type=none", "epochs.value=5")
    keeper, scores = CheckpointKeeper(ledger, disk.run_dir, quota), {}
    while orders := [order for order in (ledger.ask(), ledger.ask()) if order is not None]:
        for order in orders:
            keeper.started(order)
        for epoch in range(1, 6):
            for order in orders:
                score = (order.number * 7 % 10) / 10 + (0.05 if epoch == 1 else 0)
                scores[order.number] = max(score, scores.get(order.number, 0.0))
                disk.save(order, best=epoch == 1)
                figures = {"train_loss": 0.1, "seconds": 1.0, "peak_memory_mb": 1.0}
                ledger.report(order.number, {"epoch": epoch, "score": score, **figures})
        for order in orders:
            ledger.finish(order.number)
            keeper.finished(order.number)
            disk.look()
    kept = {int(folder.parent.name) for folder in disk.run_dir.glob("trials/*/checkpoint")}
    best_first = sorted(scores, key=scores.__getitem__, reverse=True)
    assert best_first[0] in kept
    assert kept <= set(best_first[:KEPT])
    assert disk.most > 0.6 * quota.gb  # the quota was worth something


@pytest.mark.fault("disk")
def test_quota_that_cannot_hold_the_trials_at_work_is_refused_with_the_sum(
    study_path: Path, store: Store
) -> None:
    study = load_study(study_path, ("constraints.disk_gb=0.001",), demo=False)
    with pytest.raises(
        StudyFileError,
        match=r"disk_gb: found 0.001 GB ; wanted 0.00345 GB of disk predicted: checkpoints of "
        r"0.000345 GB, 4 for each of 2 trials at work and 2 for the best that ended",
    ):
        Quota.of(study, store, 2)
    with pytest.raises(StudyFileError, match=r"resources.concurrent: found nothing"):
        Quota.of(study, store, None)
    assert Quota.of(load_study(study_path, demo=False), store, None) is None


@pytest.mark.fault("disk")
def test_proposal_beyond_the_quota_is_never_started(study_path: Path) -> None:
    quota = Quota(10 * 2 * SIZE / 1e9, 2, predict_gb)
    study = load_study(study_path, demo=False)
    ledger = open_ledger(study_path, "run_cap=6")
    ledger = Ledger(study, ledger._study._storage, quota.why_too_large)
    while order := ledger.ask():
        assert order.recipe.base_filters == 2
        play(ledger, order, [0.1, 0.2, 0.3])
    refused = [entry for entry in ledger.entries() if entry.values["base_filters"] == 4]
    assert refused
    assert all("GB of disk predicted" in entry.reason for entry in refused)


@pytest.mark.parametrize(
    "knobs",
    [
        {"base_filters": 4, "depth": 1},
        {"base_filters": 16, "depth": 3, "norm": "batch", "residual": True},
        {"base_filters": 8, "depth": 2, "optimizer": "sgd", "norm": "none"},
    ],
)
def test_checkpoint_is_no_larger_than_predicted(
    store: Store, split: Split, tmp_path: Path, knobs: dict[str, object]
) -> None:
    recipe = Recipe(epochs=1, batch_size=16, **knobs)
    epoch = next(fit(recipe, store, split, seed=0))
    path = tmp_path / "last.pt"
    epoch.save(path, epoch.scores.per_case.to_csv())
    assert load_checkpoint(path)[0]["cases"]
    predicted = estimate_checkpoint_gb(recipe, num_channels=4, num_logits=3) * 1e9
    assert predicted - 400_000 < path.stat().st_size <= predicted
