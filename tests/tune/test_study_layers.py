from __future__ import annotations

import pytest

from seglib.errors import StudyFileError
from tune.space import Choice, Constant, FloatRange
from tune.study_file import load_study

TEXT = """\
method: bayes
data: {layout: brats, channels: [flair, t1ce], target: regions, image_size: 240}
parameters:
  optimizer: {values: [adamw, sgd]}
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  momentum: {min: 0.8, max: 0.99, when: {optimizer: sgd}}
  base_filters: {values: [16, 32]}
  epochs: {value: 150}
points:
  - {optimizer: sgd, momentum: 0.9, base_filters: 32}
early_terminate: {type: asha, eta: 3}
budget: {hours: 2}
demo:
  data: {layout: phantom-brats, cases: 8, image_size: 64}
  parameters: {epochs: {value: 9}, base_filters: {values: [8, 16]}}
  run_cap: 16
"""


@pytest.fixture
def load(tmp_path):
    def load(*overrides: str, demo: bool = False, text: str = TEXT):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, overrides, demo=demo)

    return load


@pytest.fixture
def problems(load):
    def problems(*overrides: str, demo: bool = False, text: str = TEXT) -> list[str]:
        with pytest.raises(StudyFileError, match="problem") as caught:
            load(*overrides, demo=demo, text=text)
        return [str(problem) for problem in caught.value.problems]

    return problems


def test_real_form_knows_nothing_of_the_demo(load):
    study = load()
    assert (study.demo, study.data.layout, study.data.image_size) == (False, "brats", 240)
    assert (study.horizon, study.rungs(), study.run_cap) == (150, [17, 51], None)


def test_demo_is_laid_over_part_by_part(load):
    study = load(demo=True)
    assert (study.demo, study.data.layout, study.data.cases) == (True, "phantom-brats", 8)
    assert study.data.channels == ("flair", "t1ce")
    assert study.space["base_filters"].domain == Choice((8, 16))
    assert study.space["optimizer"].domain == Choice(("adamw", "sgd"))
    assert (study.horizon, study.rungs(), study.num_planned) == (9, [1, 3], 16)


def test_point_of_the_file_is_moved_into_the_demo_domain_and_that_is_said(load):
    study = load(demo=True)
    assert study.points == ({"optimizer": "sgd", "momentum": 0.9, "base_filters": 16},)
    assert study.notes == ("points[0].base_filters (line 10): 32 is moved to 16",)


def test_fault_of_the_form_that_is_not_asked_for_is_told_too(problems):
    text = TEXT.replace("epochs: {value: 9}", "epochs: {value: nine}")
    assert problems(text=text) == [
        "demo.parameters.epochs.value (line 15): found 'nine' ; wanted a whole number"
    ]


def test_file_without_a_demo_part_is_read_as_it_is(load):
    text = TEXT[: TEXT.index("demo:")]
    study = load(demo=True, text=text)
    assert not study.demo
    assert study == load(demo=False, text=text)


@pytest.mark.parametrize(
    ("override", "name", "domain"),
    [
        ("learning_rate.max=3e-3", "learning_rate", FloatRange(1e-4, 3e-3, log=True)),
        ("learning_rate=1e-3", "learning_rate", Constant(1e-3)),
        ("learning_rate=[1e-3, 1e-2]", "learning_rate", Choice((1e-3, 1e-2))),
        ("parameters.learning_rate.value=1e-3", "learning_rate", Constant(1e-3)),
        ("learning_rate={min: 0.1, max: 0.2}", "learning_rate", FloatRange(0.1, 0.2)),
        ("dropout=0.5", "dropout", Constant(0.5)),
        ("base_filters.values=[8]", "base_filters", Choice((8,))),
        ("parameters.channels=flair", "channels", Constant("flair")),
    ],
)
def test_override_reaches_a_parameter(load, override, name, domain):
    assert load(override).space[name].domain == domain


def test_fixed_conditional_parameter_keeps_its_condition(load):
    assert load("momentum=0.9").space["momentum"].when == {"optimizer": ("sgd",)}


def test_override_reaches_data_and_plain_keys(load):
    study = load("image_size=96", "channels=[flair]", "run_cap=5", "budget.epochs=1e3", "seed=4")
    assert (study.data.image_size, study.data.channels) == (96, ("flair",))
    assert (study.run_cap, study.budget.epochs, study.seed) == (5, 1000, 4)


def test_later_override_wins_and_all_lie_over_the_demo(load):
    study = load("epochs=12", "run_cap=3", "run_cap=4", demo=True)
    assert (study.horizon, study.run_cap) == (12, 4)


def test_override_may_hold_an_equals_sign(load):
    assert load(r"patient='(a)=b'").data.patient == "(a)=b"


def test_parameter_that_an_override_makes_unreachable_is_left_out_and_that_is_said(load):
    study = load("optimizer=adamw", "points=[]")
    assert "momentum" not in study.space
    assert study.notes == ("momentum is left out: what it waits for cannot happen here",)


def test_point_follows_an_override_of_its_parameter(load):
    study = load("optimizer=adamw")
    assert study.points == ({"optimizer": "adamw", "base_filters": 32},)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("run_cap", "--set: found 'run_cap' ; wanted KEY=VALUE"),
        ("=5", "--set: found '=5' ; wanted KEY=VALUE"),
        ("a..b=5", "--set: found 'a..b=5' ; wanted KEY=VALUE"),
        (
            "lerning_rate=1",
            "--set lerning_rate: found an unknown key\n    hint: did you mean 'lear",
        ),
        ("demo.run_cap=1", "--set demo.run_cap: found the demo part"),
        ("learning_rate.max=0", "--set learning_rate.max: found 0 ; wanted a number above min"),
        ("learning_rate.maxx=1", "did you mean 'max'?"),
        ("learning_rate=fast", "--set learning_rate: found 'fast' ; wanted a number"),
        ("optimizer=[adam, x]", "--set optimizer: found 'x' ; wanted one of 'adam'"),
        ("channels=[flair", "--set channels: found expected ',' or ']'"),
        ("run_cap.x=5", "--set run_cap.x: found 16 ; wanted a mapping that could hold 'x'"),
        ("metric.goal=minimize", "--set metric.goal: found minimize ; wanted maximize"),
        ("epochs=0", "--set epochs: found 0 ; wanted a number of at least 1"),
        ("early_terminate.min_iter=9", "--set early_terminate.min_iter: found a first look at"),
        ("points=[{base_filters: 9}]", "--set points: found 9 ; wanted a value of its domain"),
    ],
)
def test_fault_of_an_override_names_the_option(problems, override, problem):
    assert problem in "\n".join(problems(override, demo=True))


def test_faults_of_file_and_overrides_come_in_one_answer(problems):
    text = TEXT.replace("type: asha", "type: asher")
    found = problems("epochs=0", "image_size=x", text=text)
    assert [one.split(":")[0] for one in found] == [
        "early_terminate.type (line 11)",
        "--set image_size",
        "--set epochs",
    ]
