from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.data.splits import Splits
from seglib.data.store import Store
from seglib.fit import fit
from seglib.recipe import Recipe
from tests.chromium import PHONE_PX, running_chromium, visiting
from tune.reporting import case_pictures
from tune.reporting.case_pictures import _rank, choose_slices, picture_cases
from tune.reporting.evidence import RunData, gather
from tune.reporting.page import write_report


@pytest.fixture
def best(task: Path) -> int:
    """The best trial of point 1b."""
    run = gather(task)[0]
    return _rank(run)[0]


@pytest.fixture(scope="session")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory, _played: Path) -> Path:
    """Folder of a trial that was trained for an epoch on the split of the grid."""
    folder = tmp_path_factory.mktemp("trained")
    split = Splits.load(_played / "lab" / "task1" / "splits.json").search_part()
    recipe = Recipe(base_filters=2, depth=2, epochs=1, learning_rate=1e-2, loss="dice")
    (epoch,) = fit(recipe, store, split, seed=0, device=torch.device("cpu"))
    epoch.save(folder / "best.pt")
    epoch.scores.per_case.assign(epoch=2).to_csv(folder / "cases.csv", index=False)
    return folder


@pytest.fixture
def run(task: Path, best: int, trained: Path, store: Store) -> RunData:
    """A grid whose best trial has a checkpoint."""
    trial = task / "trials" / str(best)
    (trial / "checkpoint").mkdir()
    shutil.copy(trained / "best.pt", trial / "checkpoint")
    shutil.copy(trained / "cases.csv", trial)
    return at_store(gather(task)[0], store.path.parents[1])


def at_store(run: RunData, cache: Path) -> RunData:
    return replace(run, starts=tuple({**start, "cache": str(cache)} for start in run.starts))


@pytest.mark.slow
def test_pictures_show_the_cases_as_they_were_scored(
    run: RunData, best: int, store: Store, trained: Path
) -> None:
    found = picture_cases(run)
    assert found is not None
    assert (found.note, found.trial, found.epoch) == ("", best, 2)
    assert found.classes == ("WT", "TC", "ET")
    assert [case.rank for case in found.cases] == ["best", "median", "worst"]
    assert sorted((case.dice for case in found.cases), reverse=True) == [
        case.dice for case in found.cases
    ]
    table = pd.read_csv(trained / "cases.csv").set_index(["case", "class"])
    for case in found.cases:
        assert len(case.slices) == case.num_slices  # small volumes are shown whole
        for number, name in enumerate(found.classes):
            pred, true = case.pred[:, number], case.truth[:, number]
            row = table.loc[(case.case, name)]
            assert (pred & true).sum() == row["tp"]
            assert (pred & ~true).sum() == row["fp"]
        rows = store.index.index[store.index["case"] == case.case]
        assert np.array_equal(case.images, store.images[rows][..., 0])


@pytest.mark.slow
def test_second_look_needs_neither_checkpoint_nor_data_nor_network(
    run: RunData, best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = picture_cases(run)
    monkeypatch.setattr(case_pictures, "_predict", None)
    for look in ("all is there", "nothing is"):
        second = picture_cases(run)
        assert first is not None
        assert second is not None
        assert (second.trial, second.epoch, second.channel) == (best, 2, "flair"), look
        for one, other in zip(first.cases, second.cases, strict=True):
            assert (one.case, one.slices, one.dice) == (other.case, other.slices, other.dice)
            for name in ("images", "truth", "pred"):
                assert np.array_equal(getattr(one, name), getattr(other, name))
        (run.view.folder.path / f"trials/{best}/checkpoint/best.pt").unlink(missing_ok=True)
        run = at_store(run, tmp_path / "gone")


@pytest.mark.slow
def test_pictures_of_a_network_that_changed_are_drawn_anew(
    run: RunData, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_cases(run)
    kept = run.view.folder.path / "figures" / "overlays.npz"
    (run.view.folder.path / f"trials/{best}/checkpoint/best.pt").write_bytes(b"another")
    found = picture_cases(run)
    assert found is not None
    assert found.cases == ()
    assert "could not be drawn" in found.note
    kept.write_bytes(kept.read_bytes()[:-200])  # damaged: not believed
    (run.view.folder.path / f"trials/{best}/checkpoint/best.pt").unlink()
    found = picture_cases(run)
    assert found is not None
    assert f"checkpoint of trial {best} is not in this folder" in found.note


@pytest.mark.slow
def test_run_without_its_data_says_so(run: RunData, tmp_path: Path) -> None:
    found = picture_cases(at_store(run, tmp_path / "gone"))
    assert found is not None
    assert found.cases == ()
    assert found.note.startswith("The prepared data are gone")


def test_run_without_figures_per_case_has_no_pictures(task_data: RunData) -> None:
    assert picture_cases(task_data) is None


def test_slices_lie_around_the_truth_with_its_largest_among_them() -> None:
    marked = [0] * 100
    marked[40:60] = range(1, 21)
    chosen = choose_slices(marked, 8)
    assert len(chosen) == 8
    assert chosen == sorted(set(chosen))
    assert 59 in chosen
    assert 36 <= chosen[0] < 40
    assert 60 < chosen[-1] <= 63
    assert choose_slices([0] * 5, 3) == [0, 2, 4]
    assert choose_slices([7], 3) == [0]
    assert choose_slices([0, 9, 0], 20) == [0, 1, 2]


@pytest.mark.slow
def test_reader_goes_through_the_slices_by_keyboard_and_hides_an_outline(
    run: RunData, store: Store, tmp_path: Path
) -> None:
    beside = tmp_path / ".cache" / "stores"
    beside.mkdir(parents=True)
    (beside / store.key).symlink_to(store.path)
    page = write_report(run.view.folder.path)
    assert (run.view.folder.path / "figures" / "overlays.npz").is_file()
    with running_chromium() as browser, visiting(browser, page, width=PHONE_PX) as visit:
        figure = visit.page.locator(".overlay").first
        slider, label = figure.locator("input"), figure.locator(".slice-label")
        slices = figure.locator(".slices > svg")
        slider.focus()
        visit.page.keyboard.press("Home")
        assert label.inner_text().startswith("slice 0: ")
        visit.page.keyboard.press("ArrowRight")
        assert label.inner_text().startswith("slice 1: ")
        assert slider.get_attribute("aria-valuetext") == label.inner_text()
        assert [one.is_visible() for one in slices.all()].index(True) == 1
        assert sum(one.is_visible() for one in slices.all()) == 1
        outlines = visit.page.locator(".overlay svg:not([hidden]) path.truth")
        assert outlines.first.is_visible()
        visit.page.get_by_label("truth", exact=True).uncheck()
        assert not outlines.first.is_visible()
        assert visit.complaints == []
        assert visit.requests == []
    with running_chromium() as browser, visiting(browser, page, script=False) as visit:
        shown = visit.page.locator(".overlay .slices > svg")
        assert sum(one.is_visible() for one in shown.all()) == 3  # a slice of each case
