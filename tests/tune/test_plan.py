from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from seglib.cost import count_parameters
from seglib.data.phantom import write_phantoms
from seglib.errors import DataError
from tune.plan import describe_plan
from tune.request import Request
from tune.study_file import load_study

HEAVY = ("torch", "ray", "optuna", "pandas", "wandb", "numpy", "scipy")


def plan(request: Request) -> str:
    console = Console(file=io.StringIO(), width=120)
    describe_plan(request, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plan_tells_what_would_run(study_path: Path) -> None:
    text = plan(Request(study_path))
    for line in (
        "search:         random, maximize dice, 4 trials",
        "stopping:       asha, one in 2 passes epoch 1, 2",
        "budget:         at most 12 epochs without early stopping",
        "base_filters: 32 is outside the space, 4 taken",
    ):
        assert line in text
    assert "0.0001 to 0.01, log scale" in text
    assert " MB (of the trial's process, predicted, +-" in text


def test_plan_counts_the_parameters_of_trial_0_exactly(study_path: Path) -> None:
    study = load_study(study_path, ("data.channels=[t1, t2]",), demo=False)
    recipe = study.default_point()
    from seglib.recipe import Recipe

    count = count_parameters(Recipe(**recipe), num_channels=2, num_logits=3)
    assert f"{count:,} parameters" in plan(Request(study_path, overrides=("channels=[t1, t2]",)))


def test_plan_tells_limits_and_what_they_rule_out(study_path: Path) -> None:
    assert "\nlimits:" not in plan(Request(study_path))
    text = plan(Request(study_path, overrides=("constraints={memory_gb: 0.01, disk_gb: 2}",)))
    assert "limits:         memory 0.01 GB, checkpoints 2 GB" in text
    assert "it will not be trained: 0.5" in text


def test_plan_of_a_grid_tells_its_size(study_path: Path) -> None:
    overrides = ("method=grid", "learning_rate=[1e-3, 1e-2, 1e-1]", "run_cap=null")
    text = plan(Request(study_path, overrides=overrides))
    assert "grid, maximize dice, 6 points: 6 trials" in text
    assert "all 6 rows of the product" in text
    assert "learning_rate=0.01, base_filters=4" in text
    assert "trial 0" not in text


def test_plan_of_a_grid_names_its_points_what_differs_and_what_others_reached(
    study_path: Path,
) -> None:
    rate = "{learning_rate: 1e-3, name: %s}"
    points = f"points=[{rate % '1a'}, {rate.replace('name', 'depth: 1, name') % '1b'}]"
    overrides = ("method=grid", "learning_rate=[1e-3, 1e-2]", "base_filters=4", "run_cap=null",
                 "seeds=[0, 1, 2]", points, "published={note: others, scores: {1a: 0.9}}",
                 "early_terminate.type=none")  # fmt: skip
    text = plan(Request(study_path, overrides=overrides))
    assert "3 points x 3 seeds: 9 trials" in text
    assert "all 2 rows of the product, 1 beside it" in text
    assert "seeds:          0, 1, 2; every point under one, then under the next" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith(" 1")}
    assert "learning_rate=0.001 " in rows["1a"]
    assert rows["1a"].rstrip().endswith("0.9")
    assert "learning_rate=0.001, depth=1 " in rows["1b"]
    assert "published: others" in text


def test_trials_option_is_in_the_plan(study_path: Path) -> None:
    assert "7 trials" in plan(Request(study_path, trials="7"))
    assert "6 trials" in plan(Request(study_path, trials="+2"))


def test_conditions_are_shown_where_there_are_any(study_path: Path) -> None:
    assert "when" not in plan(Request(study_path))
    overrides = ("optimizer=[adamw, sgd]", "momentum={min: 0.8, max: 0.9, when: {optimizer: sgd}}")
    assert "optimizer is sgd" in plan(Request(study_path, overrides=overrides))


def test_plan_needs_no_data_and_writes_nothing(study_path: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    plan(Request(study_path, out=tmp_path / "runs"))
    assert sorted(tmp_path.iterdir()) == before


def test_plan_refuses_data_for_phantoms(study_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data: found '.*' ; wanted none, as data\.layout is"):
        plan(Request(study_path, data=tmp_path))


def test_check_is_quick_and_loads_nothing_heavy(study_path: Path) -> None:
    code = (
        "import sys; from tune.cli import main\n"
        f"code = main(['check', '--space', {str(study_path)!r}])\n"
        f"print('LOADED', code, [name for name in {HEAVY} if name in sys.modules])"
    )
    seconds = []
    for _ in range(3):  # the quickest of three: other processes may hold the machine up
        started = time.perf_counter()
        answer = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - started)
        assert answer.stdout.splitlines()[-1] == "LOADED 0 []"
        if seconds[-1] < 1.0:
            break
    assert min(seconds) < 1.0


def test_check_with_data_looks_at_the_folder(tmp_path: Path, study_path: Path) -> None:
    folder = tmp_path / "ct"
    write_phantoms("phantom-ct", folder, cases=2, seed=0, size=32)
    with pytest.raises(DataError, match="brats"):
        plan(Request(study_path, data=folder, overrides=("layout=brats",)))
    text = plan(Request(study_path, data=folder, overrides=("layout=lab-ct", "target=organs")))
    assert "images or volumes of 2 patients, grey -> left_lung = 156" in text


def test_demo_has_a_folder_of_its_own() -> None:
    brats = Path(__file__).parents[2] / "searchspaces" / "brats.yaml"
    assert load_study(brats, demo=True).folder_name == "brats-demo"
    assert load_study(brats, demo=False).folder_name == "brats"
