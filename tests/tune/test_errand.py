"""What is sent to a cluster: checked here, all faults at once, and nothing but what is named."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from seglib.errors import InvalidInput
from tune.errand import Errand
from tune.job_entry import with_out
from tune.parcel import pack
from tune.pins import pinned, require_pins, requirements

HEAD = "http://head:8265"


def test_all_faults_of_file_and_command_are_told_at_once(study_path):
    errand = Errand(
        study_path,
        data="images",
        storage="postgresql://me:hidden@db/x",
        overrides=("epochs=0",),
    )
    with pytest.raises(InvalidInput, match="5 problems") as caught:
        errand.check("head:6379")
    said = str(caught.value)
    assert caught.value.exit_code == 2
    for place in ("--set epochs", "--address", "--storage-path", "--data", "--storage"):
        assert re.search(rf"^  {place}: found", said, re.MULTILINE), place
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"out": "runs"}, "--out: found 'runs' ; wanted an absolute path"),
        ({"storage_path": "runs"}, "--storage-path: found 'runs' ; wanted an absolute path"),
        ({"out": "/s", "storage": "sqlite:///x.db"}, "--storage: found a file of SQLite"),
        ({"out": "/s", "storage_path": "s3://k:hidden@b/x"}, "a URL without a password"),
        ({"out": "/s", "storage_path": "/t"}, "--out: found /s, and --storage-path /t"),
        ({"storage_path": "memory://x"}, "--storage-path: found memory://x"),
        ({"out": "/s", "data": "/d"}, "--data: found '/d' ; wanted none, as data.layout is"),
    ],
)
def test_place_that_the_cluster_cannot_use_is_refused(study_path, given, text):
    with pytest.raises(InvalidInput, match=re.escape(text)) as caught:
        Errand(study_path, **given).check(HEAD)
    assert "hidden" not in str(caught.value)


def test_data_need_not_be_on_this_machine(study_path):
    study_path.write_text(study_path.read_text().replace("phantom-brats, cases: 8,", "brats,"))
    errand = Errand(study_path, data="/there/only", storage_path="s3://bucket/x/")
    assert errand.check(HEAD) == ("tiny", "s3://bucket/x/tiny")
    with pytest.raises(InvalidInput, match="--data: found nothing"):
        Errand(study_path, out="/shared").check(HEAD)


def test_command_is_the_same_on_the_cluster(study_path):
    errand = Errand(study_path, out="/s", overrides=("epochs=3", "seed=1"), trials="+2", extend=1)
    assert errand.words(Path("study/tiny.yaml")) == [
        "run", "--space", "study/tiny.yaml", "--address", "auto", "--out=/s",
        "--set=epochs=3", "--set=seed=1", "--trials=+2", "--extend=1",
    ]  # fmt: skip


def test_job_keeps_its_working_copy_where_no_other_url_has_one(study_path, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGTUNE_NODE_CACHE", str(tmp_path))
    outs = []
    for url in ("s3://bucket/a", "s3://bucket/a/", "s3://bucket/b"):
        errand = Errand(study_path, storage_path=url, overrides=("epochs=3",))
        *words, out = with_out(errand.words(Path("study/tiny.yaml")))
        assert words == errand.words(Path("study/tiny.yaml"))
        outs.append(out)
        place = out.removeprefix(f"--out={tmp_path}/")
        assert errand.working_copy.startswith(f"{place} in $SEGTUNE_NODE_CACHE")
    assert outs[0] == outs[1] != outs[2]
    for given in ({"out": "/s", "storage_path": "s3://bucket/a"}, {"storage_path": "/shared"}):
        words = Errand(study_path, **given).words(Path("study/tiny.yaml"))
        assert with_out(words) == words


def test_parcel_has_source_and_study_and_nothing_else_of_the_folder(study_path, tmp_path):
    for name in (".env", "secret.txt", ".netrc"):
        (study_path.parent / name).write_text("planted")
    folder = tmp_path / "parcel"
    folder.mkdir()
    space = pack(folder, study_path, ())
    assert (folder / space).read_bytes() == study_path.read_bytes()
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kinds = {path.parts[0] for path in files}
    (about,) = kinds - {"seglib", "tune", "study", "start.sh"}
    assert PathDistribution(folder / about).metadata["Name"] == "segtune"
    assert [path for path in files if path.parts[0] == "study"] == [space]
    assert not [path for path in files if any(part.startswith(".") for part in path.parts)]
    assert not [path for path in files if b"planted" in (folder / path).read_bytes()]
    ours = Path(sys.modules["tune"].__file__ or "").parent
    sources = {path.relative_to(ours) for path in ours.rglob("*.py")}
    assert {Path(*path.parts[1:]) for path in files if path.parts[0] == "tune"} >= sources
    assert Path("tune/reporting/templates/report.html.j2") in files


def test_too_large_a_study_file_is_not_sent(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * 2**23)
    (tmp_path / "parcel").mkdir()
    with pytest.raises(InvalidInput, match=r"MiB of study files and source ; wanted at most 8 MiB"):
        pack(tmp_path / "parcel", path, ())


def test_pins_are_those_of_the_metadata_and_hold_here():
    require_pins()
    assert pinned()["torch"] == "2.13.0"
    assert "ray[tune]==2.60.0" in requirements()
    assert not any(";" in line for line in requirements())
    assert not any("s3fs" in line for line in requirements("/shared/runs"))
    assert set(requirements("s3://bucket/runs")) - set(requirements()) == {"s3fs==2026.9.0"}
    assert "pytest" not in pinned()


def test_libraries_of_networks_are_installed_where_they_are_wanted(tmp_path, study_path):
    ours = Errand(study_path, out="/shared/runs")
    theirs = replace(ours, overrides=("architecture=[unet, monai_dynunet]",))
    assert not ours.takes_networks()
    assert theirs.takes_networks()
    more = set(requirements(networks=True)) - set(requirements())
    assert {"monai==1.6.1", "segmentation-models-pytorch==0.6.0"} <= more


def test_job_starts_with_the_python_that_ray_runs_with(tmp_path, study_path):
    """Without any Python on the PATH: the shell's parent has Ray's library mapped."""
    folder = tmp_path / "parcel"
    folder.mkdir()
    pack(folder, study_path, ())
    code = (
        "import subprocess, sys, ray._raylet\n"
        "sys.exit(subprocess.call(['/bin/sh', 'start.sh', 'schema'], env={'PATH': '/bin'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"properties"' in done.stdout
