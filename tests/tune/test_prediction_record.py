"""The same command goes on, and never writes over what somebody else made."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

import tune.prediction
from seglib.data.readers import read_mask
from seglib.model import PostProcess
from seglib.recipe import Recipe
from tests.seglib.networks_of_chance import input_spec, model_of
from tests.tune.predicted import grey_picture, masks_in, predict, refused
from tune.cli import main

TINY = Recipe(base_filters=2, depth=1, precision="fp32")


def test_the_same_command_again_makes_only_what_is_not_there(tmp_path):
    for name in ("a", "b"):
        grey_picture(tmp_path / "in" / f"{name}.png", seed=ord(name))
    model, out = model_of(input_spec(), TINY), tmp_path / "in" / "out"
    predict(model, tmp_path / "in", out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "b.png").unlink()
    grey_picture(tmp_path / "in" / "c.png", seed=3)
    assert "2 masks written" in (said := predict(model, tmp_path / "in", out))
    assert "(1 were there already)" in said
    assert masks_in(out) == ["a.png", "b.png", "c.png", "predictions.jsonl"]
    assert (out / "a.png").stat().st_mtime_ns == times[out / "a.png"]


def test_another_model_or_another_image_makes_the_mask_anew(tmp_path):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    model = model_of(input_spec(), TINY)
    predict(model, source, out)
    higher = PostProcess(thresholds=(0.9,), smallest=(0.0,), note="")
    assert "1 mask written" in predict(replace(model, post=higher), source, out)
    grey_picture(source, seed=9)
    assert "1 mask written" in predict(replace(model, post=higher), source, out)
    assert "0 masks written" in predict(replace(model, post=higher), source, out)
    assert "1 mask written" in predict(replace(model, post=higher), source, out, flips=True)


def test_files_of_others_and_masks_mended_by_hand_are_never_written_over(tmp_path):
    model, out = model_of(input_spec(), TINY), tmp_path / "out"
    for name in ("a", "b", "c"):
        grey_picture(tmp_path / "in" / f"{name}.png", seed=ord(name))
    predict(model, tmp_path / "in" / "a.png", out)
    predict(model, tmp_path / "in" / "c.png", out)
    grey_picture(out / "a.png", seed=5)
    grey_picture(out / "b.png", seed=6)
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = PostProcess(thresholds=(0.9,), smallest=(0.0,), note="")
    wanted = "wanted another folder for the masks, or that file moved away"
    assert refused(replace(model, post=other), tmp_path / "in", out) == [
        f"a.png: found a mask that was changed since it was written ; {wanted}",
        f"b.png: found a file that is not of this command ; {wanted}",
    ]
    grey_picture(tmp_path / "more" / "c.png")
    assert refused(model, tmp_path / "more", out) == [
        f"c.png: found the mask of another image, {tmp_path / 'in' / 'c.png'} ; {wanted}"
    ]
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_masks_never_go_where_images_are(tmp_path):
    source = grey_picture(tmp_path / "a.png")
    model = model_of(input_spec(), TINY)
    assert refused(model, tmp_path, tmp_path)[0].startswith(
        "OUT: found the folder of the images itself"
    )
    assert refused(model, source, source)[0].startswith("OUT: found the folder of the images")
    assert refused(model, source, tmp_path)[0].startswith("a.png: found a file that is not of this")


def test_masks_of_another_call_are_no_images_wherever_they_lie(tmp_path):
    for name in ("a.png", "deep/b.png"):
        grey_picture(tmp_path / "in" / name)
    model = model_of(input_spec(), TINY)
    predict(model, tmp_path / "in", tmp_path / "in" / "one")
    predict(model, tmp_path / "in", tmp_path / "in" / "two")
    expected = ["a.png", "deep/b.png", "predictions.jsonl"]
    assert masks_in(tmp_path / "in" / "one") == masks_in(tmp_path / "in" / "two") == expected


@pytest.mark.fault("driver-killed")
def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    other, alive = "other.png.99999999-0a1b2c3d.tmp", f"a.png.{os.getppid()}-0a1b2c3d.tmp"
    for name in ("a.png.99999999-0a1b2c3d.tmp", "mine.tmp", other, alive):
        (out / name).touch()
    (out / "predictions.jsonl").write_text('[1]\n{"mask": []}\n{"mask": "a.p')
    predict(model_of(input_spec(), TINY), source, out)
    assert masks_in(out) == sorted(["a.png", alive, "mine.tmp", other, "predictions.jsonl"])
    assert "0 masks written" in predict(model_of(input_spec(), TINY), source, out)


def test_a_process_that_dies_between_line_and_mask_can_go_on(tmp_path, monkeypatch):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    shy, eager = (
        model_of(input_spec(), TINY, post=PostProcess(thresholds=(one,), smallest=(0.0,), note=""))
        for one in (0.99, 0.0)
    )
    predict(shy, source, out)
    real = tune.prediction._Job._note

    def die(self, line, temporary):
        real(self, line, temporary)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tune.prediction._Job, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            predict(eager, source, out)
    assert "1 mask written" in predict(eager, source, out)
    assert "0 masks written" in predict(eager, source, out)
    assert read_mask(out / "a.png").array.all()


@pytest.mark.slow
def test_a_signal_ends_the_command_in_order_and_it_goes_on(tmp_path, monkeypatch, capfd):
    for number in range(4):
        grey_picture(tmp_path / "in" / f"{number}.png", seed=number)
    model_of(input_spec(), TINY).save(tmp_path / "model.pt")
    words = ["predict", *(str(tmp_path / name) for name in ("model.pt", "in", "out"))]
    real = tune.prediction._Job._note

    def interrupt(self, line, temporary):
        real(self, line, temporary)
        if line.mask == "2.png":
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(tune.prediction._Job, "_note", interrupt)
        assert main(words) == 130
    assert "interrupted: the same command goes on from here" in capfd.readouterr().out
    assert masks_in(tmp_path / "out") == ["0.png", "1.png", "predictions.jsonl"]
    assert main(words) == 0
    assert "2 masks written" in (said := capfd.readouterr().out)
    assert "(2 were there already)" in said
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_a_record_that_is_none_is_told(tmp_path):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    (out / "predictions.jsonl").mkdir(parents=True)
    (line,) = refused(model_of(input_spec(), TINY), source, out)
    assert line.startswith("predictions.jsonl: found an unreadable file (a folder where a file")
