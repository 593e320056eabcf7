from __future__ import annotations

from pathlib import Path

import pytest

from seglib.errors import RunError
from tune.price_record import (
    PRICE,
    SPENT,
    PriceRecord,
    SpentTime,
    keep_price,
    price_file,
    price_key,
    read_price,
    read_spent,
)

STUDY = """\
method: random
data: {layout: phantom-brats, cases: 8, image_size: 32}
parameters: {learning_rate: {values: [0.1, 0.2]}, epochs: {value: 3}}
run_cap: 4
"""
FIGURES = {"wall_s": (1.0, 2.0, 3.0)}


def record(key: str) -> PriceRecord:
    return PriceRecord(
        made="2026-01-01 00:00", key=key, device="a processor", slots=2, num_planned=4,
        num_measured=1, num_classes=1, figures=FIGURES,
    )  # fmt: skip


def test_a_search_takes_along_what_was_predicted_for_it_and_for_no_other(
    load, tmp_path: Path
) -> None:
    study, run = load(STUDY), tmp_path / "run"
    run.mkdir()
    path = price_file(tmp_path, price_key(study, "data"))
    path.parent.mkdir()
    path.write_text(record("mine").model_dump_json())
    for other, data in ((load(STUDY, "run_cap=5"), "data"), (study, "other data")):
        keep_price(run, tmp_path, other, data)
        assert read_price(run / PRICE) is None
    keep_price(run, tmp_path, load(STUDY, "name=renamed"), "data")
    kept = read_price(run / PRICE)
    assert kept is not None
    assert kept.figures["wall_s"] == (1.0, 2.0, 3.0)


def test_a_damaged_prediction_is_named_and_never_kept(load, tmp_path: Path) -> None:
    path = price_file(tmp_path, price_key(load(STUDY), "data"))
    path.parent.mkdir()
    path.write_text('{"slots": "many"}')
    keep_price(tmp_path, tmp_path, load(STUDY), "data")
    assert not (tmp_path / PRICE).exists()
    with pytest.raises(RunError, match=r"a damaged file .* ; wanted what segtune wrote"):
        read_price(path)


def test_time_of_all_starts_adds_up_though_each_ends_anyhow(tmp_path: Path) -> None:
    assert read_spent(tmp_path) is None
    for times in ([0.0, 5.0, 7.0, 20.0], [100.0, 130.0, 131.0, 142.0]):
        clock = iter([times[0], *(t for t in times[1:] for _ in range(2))])
        spent = SpentTime(tmp_path, lambda clock=clock: next(clock))  # type: ignore[misc]
        for _ in times[1:]:
            spent.reported(0, {})  # the last one is written, those in between perhaps
    assert (read_spent(tmp_path) or 0) >= 5.0 + 30.0


def test_the_end_of_a_trial_is_written_at_once(tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 1.0, 2.5])
    spent = SpentTime(tmp_path, lambda: next(times))
    spent.reported(0, {})
    spent.finished(0)
    assert read_spent(tmp_path) == 2.5
    assert [file.name for file in tmp_path.iterdir()] == [SPENT]
