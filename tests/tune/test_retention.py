from __future__ import annotations

from pathlib import Path

from tests.tune.test_ledger import open_ledger, play
from tune.retention import KEPT, CheckpointKeeper


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
