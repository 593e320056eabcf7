"""The plan of a large search: its arithmetic, and that an event does not grow with the search."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks are scripts, and import each other."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_trials_are_as_long_as_halving_leaves_them() -> None:
    from scale_plan import Search, epochs_per_trial, reports, rungs

    brats = Search(trials=16, epochs=150, first=17, eta=4)
    assert rungs(brats) == [17, 68]
    # 12 end at 17, 3 at 68, and 1 goes on to 150
    assert epochs_per_trial(brats) == (12 * 17 + 3 * 68 + 150) / 16
    assert reports(brats) == 12 * 17 + 3 * 68 + 150
    assert epochs_per_trial(Search(epochs=9, first=9)) == 9


def test_rates_add_up_to_the_whole_search() -> None:
    from scale_plan import Search, epochs_per_trial, hours, reports, reports_per_s, trials_per_s

    one = Search(trials=1000, gpus=20, epoch_s=10)
    assert reports_per_s(one) == 2
    assert trials_per_s(one) * epochs_per_trial(one) == pytest.approx(2)
    assert hours(one) * 3600 * reports_per_s(one) == pytest.approx(reports(one))


def test_driver_is_full_where_the_plan_says_so() -> None:
    from dataclasses import replace

    from scale_plan import Costs, Search, driver_share, most_gpus, shortest_epoch_s, writing_share

    # an epoch each second; trials of one epoch: 2 + 3 + 50 + 5 + 40 ms
    one = Search(gpus=1, epochs=1, first=1, epoch_s=1)
    costs = Costs(ask_ms=50, report_ms=2, tell_ms=5, ray_trial_ms=40, ray_epoch_ms=3, write_ms=8)
    assert driver_share(one, costs) == pytest.approx(0.1)
    assert most_gpus(one, costs) == 10
    assert driver_share(replace(one, gpus=10), costs) == pytest.approx(1)
    quick = replace(one, epoch_s=shortest_epoch_s(one, costs))
    assert driver_share(quick, costs) == pytest.approx(1)
    assert writing_share(one, costs) == pytest.approx(0.008)


def test_bytes_and_bandwidth() -> None:
    from scale_plan import Search, checkpoint_mb_per_s, checkpoints_gb, copy_minutes, nodes_of

    one = Search(gpus=250, epoch_s=10)
    assert checkpoint_mb_per_s(one, 80) == 2000
    assert checkpoints_gb(one, 80, at_work=4, kept=10) == pytest.approx(80.8)
    assert copy_minutes(60, 32, gigabit_per_s=16) == pytest.approx(16)
    assert nodes_of(one, 8) == 32


@pytest.mark.slow
def test_event_costs_as_much_late_in_a_search_as_early(tmp_path: Path) -> None:
    """No event may look at all there was: only proposals do, and those of chance do not."""
    from scale_ledger import Crowd, Meter, opened, read_study

    study = read_study(tmp_path, "random", epochs=9, cap=10_000)
    early, late = Meter(), Meter()
    with opened(study, tmp_path / "journal.log") as (ledger, _):
        crowd = Crowd(ledger, 64)
        crowd.run(40, Meter())
        crowd.run(60, early)
        crowd.run(140, Meter())
        crowd.run(60, late)
        assert crowd.ended == 300
        assert sum(entry.state in ("COMPLETE", "PRUNED") for entry in ledger.entries()) == 300
    for event in ("ask", "report", "tell"):
        assert late.count(event) >= 50
        assert late.median_ms(event) <= 3 * early.median_ms(event), event
