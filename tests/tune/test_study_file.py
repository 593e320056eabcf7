from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.recipe import Recipe
from tune.space import Choice, Constant, FloatRange, IntRange, Quantile, Weighted
from tune.study_file import load_study
from tune.suite import is_suite
from tune.yaml_lines import write_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = [path for path in sorted((ROOT / "searchspaces").glob("*.yaml")) if not is_suite(path)]
SWEEPS = sorted((Path(__file__).parent / "sweeps").glob("*.yaml"))


def search(parameters: str, *rest: str) -> str:
    return "\n".join(["method: random", f"parameters: {parameters}", *rest])


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
class TestShipped:
    def test_loads_without_a_note(self, path, demo):
        study = load_study(path, demo=demo)
        assert (study.demo, study.name) == (demo, path.stem)
        assert not study.notes

    def test_rungs_leave_a_ninth_of_the_length(self, path, demo):
        study = load_study(path, demo=demo)
        assert all(study.horizon / 9 <= rung < study.horizon for rung in study.rungs())

    def test_resolved_loads_as_an_equal_study(self, path, demo, load):
        study = load_study(path, demo=demo)
        assert load(write_yaml(study.resolved())) == study

    def test_default_and_points_are_recipes_of_the_space(self, path, demo):
        study = load_study(path, demo=demo)
        points = [] if study.method == "grid" else study.points
        for point in (study.default_point(), *map(study.full_point, points)):
            assert Recipe(**point)
            assert study.space.contains(point)

    def test_rows_of_a_grid_are_recipes_with_names(self, path, demo):
        study = load_study(path, demo=demo)
        assert all(row.name and Recipe(**row.values) for row in study.rows)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
class TestSweepsOfWandb:
    def test_loads_unchanged(self, path):
        study = load_study(path, demo=False)
        plain = yaml.safe_load(path.read_text())
        assert study.space.names == tuple(plain["parameters"])
        assert study.method == plain["method"]
        assert set(study.ignored) == set(plain) & {
            "program", "command", "controller", "job", "settings"
        }  # fmt: skip

    def test_resolved_loads_as_an_equal_study(self, path, load):
        study = load_study(path, demo=False)
        assert load(write_yaml(study.resolved())) == study


@pytest.mark.parametrize("path", SHIPPED + SWEEPS, ids=lambda path: path.stem)
@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_any_suggestion_is_a_recipe_of_the_space(path, seed):
    space = load_study(path, demo=False).space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    point = space.suggest(study.ask())
    assert Recipe(**point)
    assert space.contains(point)


def test_five_faults_give_five_messages_with_lines_in_one_answer(problems):
    found = problems(
        "method: bayes\n"
        "metric: {name: dice, goal: minimize}\n"
        "parameters:\n"
        "  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 0}\n"
        "  optimizer: {values: [adamw, sgdd]}\n"
        "  batchsize: {values: [8]}\n"
        "run_cap: 0\n"
    )
    assert found == [
        "metric.goal (line 2): found minimize ; wanted maximize\n    hint: a higher dice is better",
        "parameters.learning_rate.max (line 4): found 0 ; wanted a number above min (0.0001)",
        "parameters.optimizer.values[1] (line 5): found 'sgdd' ; "
        "wanted one of 'adam', 'adamw' or 'sgd'",
        "parameters.batchsize (line 6): found an unknown recipe field\n"
        "    hint: did you mean 'batch_size'?",
        "run_cap (line 7): found 0 ; wanted a number of at least 1",
    ]


FAULTS = {
    "{epochs: {value: 0}}": "parameters.epochs.value (line 2): found 0 ; wanted a number of at l",
    "{epochs: {value: 2.5}}": "found 2.5 ; wanted a whole number",
    "{epochs: {value: '5'}}": "found '5' ; wanted a whole number",
    "{dropout: {value: true}}": "found true ; wanted a number",
    "{dropout: {value: .nan}}": "wanted a finite number",
    "{residual: {value: 1}}": "found 1 ; wanted true or false",
    "{norm: {value: no}}": "found 'no' ; wanted one of 'batch', 'instance', 'group' or 'none'",
    "{norm: {value: null}}": "hint: write none, the word",
    "{norm: {min: 1, max: 2}}": "norm takes one of 'batch'",
    "{momentum: {min: 0.5, max: 1.0}}": "max (line 2): found 1.0 ; wanted a number below 1",
    "{dropout: {min: 0.5, max: 0.5}}": "found 0.5 ; wanted a number above min (0.5)",
    "{dropout: {min: 0.5}}": "and here is no max",
    "{dropout: {min: a, max: 0.5}}": "dropout.min (line 2): found 'a' ; wanted a number",
    "{grad_clip: {distribution: log_uniform_values, min: 0, max: 1}}": "scale is logarithmic",
    "{learning_rate: {distribution: log_uniform, min: -9, max: 800}}": "natural logarithm",
    "{learning_rate: {distribution: log_uniform, min: -9, max: 9}}": "9 (that is 8103.08) ; wanted",
    "{dropout: {distribution: unifrom, min: 0, max: 1}}": "did you mean 'uniform'?",
    "{dropout: {distribution: uniform, values: [0.5]}}": "min or max for distribution uniform",
    "{dropout: {distribution: normal, sigma: 0}}": "sigma (line 2): found 0 ; wanted a number",
    "{dropout: {distribution: normal, mu: 50}}": "a distribution that gives values from 0 to 0.9",
    "{dropout: {value: 0.1, min: 0}}": "found the key 'min' ; wanted no such key",
    "{dropout: {vaules: [0.1]}}": "did you mean 'values'?",
    "{dropout: {}}": "wanted value, values, min and max, or a distribution",
    "{dropout: 0.5}": "hint: write dropout: {value: 0.5}",
    "{dropout: [0.5]}": "found a list ; wanted a mapping",
    "{dropout: {values: []}}": "found an empty list ; wanted a list of one or more values",
    "{dropout: {values: [0.5, 0.5]}}": "values[1] (line 2): found 0.5 ; wanted each value once",
    "{dropout: {values: [0.1, [0.5]]}}": "values[1] (line 2): found a list ; wanted a number",
    "{dropout: {values: [0.1, 0.5], probabilities: [0.5, 0.6]}}": "2 numbers of at least 0",
    "{dropout: {parameters: {a: {value: 1}}}}": "no parameters inside a parameter",
    "{zoom: {distribution: q_uniform, min: 0.1, max: 0.2, q: 0.5}}": "a step with a multiple",
    "{zoom: {min: 0.0, max: 0.2, q: -1}}": "q (line 2): found -1 ; wanted a number above 0",
    "{depth: {min: 2.2, max: 2.8}}": "a whole number between min and max",
    "{image_size: {value: 64}}": "hint: image_size belongs under data:",
    "{dropout: {value: 0.1}, dropout: {value: 0.2}}": "again; line 2 has it first",
    "{}": "found an empty mapping ; wanted a mapping of one or more recipe fields",
    "{momentum: {value: 0.9, when: {optimiser: sgd}}, optimizer: {value: sgd}}": "'optimizer'?",
    "{momentum: {value: 0.9, when: {optimizer: sgd}}, optimizer: {value: adam}}": "'sgd' ; wanted",
    "{momentum: {value: 0.9, when: {optimizer: x}}, optimizer: {value: adam}}": "found 'x'",
    "{momentum: {value: 0.9, when: sgd}}": "found 'sgd' ; wanted a mapping of another parameter",
    "{momentum: {value: 0.9, when: {momentum: 0.9}}}": "a parameter that waits for itself",
    "{momentum: {value: 0.9, when: {zoom: 0.1}}, zoom: {min: 0.0, max: 0.5}}": "continuous",
    "{depth: {value: 4, when: {epochs: 9}}, epochs: {value: 9, when: {depth: 4}}}": "a circle",
    "{loss: {values: [bce, dice]}, depth: {values: [2, 3], when: {loss: bce}}, "
    "epochs: {value: 9, when: {depth: 2, loss: dice}}}": "never active: loss cannot be both",
}


@pytest.mark.parametrize("parameters", FAULTS)
def test_parameter_fault_is_told(problems, parameters):
    found = problems(search(parameters))
    assert FAULTS[parameters] in "\n".join(found)
    assert "(line 2)" in found[0]


OTHER_FAULTS = {
    "studies: [{space: a.yaml}]": "studies (line 3): found a suite of studies ; wanted one study",
    "methd: grid": "methd (line 3): found an unknown key\n    hint: did you mean 'method'?",
    "dropout: {value: 0.5}": "hint: it belongs under parameters:",
    "image_size: 64": "hint: it belongs under data:",
    "metric: {name: dicee}": "metric.name (line 3): found 'dicee' ; wanted one of dice, iou",
    "metric: {name: dice_XX}\ndata: {target: regions}": "wanted dice_WT, dice_TC or dice_ET",
    "metric: {name: dice, goal: up}": "metric.goal (line 3): found 'up' ; wanted one of 'maximize'",
    "early_terminate: {type: asha, min_iter: 50}": "epoch 50 ; wanted one below epochs (50)",
    "early_terminate: {type: asha, min_iter: 9, max_iter: 9}": "wanted one below max_iter (9)",
    "early_terminate: {type: hyperbnd}": "early_terminate.type (line 3): found 'hyperbnd' ; wanted",
    "early_terminate: {type: asha, ets: 3}": "did you mean 'eta'?",
    "data: {chanels: [t1]}": "data.chanels (line 3): found an unknown key",
    "data: {channels: [t1, [2]]}": "data.channels[1] (line 3): found a list ; wanted text",
    "data: {classes: {WT: [1, x]}}": "data.classes.WT[1] (line 3): found 'x' ; wanted a whole",
    "data: {window_hu: [1, 0]}": "wanted the low end must be below",
    "data: 5": "data (line 3): found 5 ; wanted a mapping",
    "split: {val: 0}": "split.val (line 3): found 0 ; wanted a number above 0",
    "constraints: {memory_gb: -1}": "constraints.memory_gb (line 3): found -1",
    "budget: {hours: soon}": "budget.hours (line 3): found 'soon' ; wanted a number",
    "resources: {gpus_per_trial: all}": "found 'all' ; wanted a number or one of 'auto'",
    "tracking: {wandb: sometimes}": "tracking.wandb (line 3): found 'sometimes' ; wanted one of",
    "seed: -1": "seed (line 3): found -1 ; wanted a number of at least 0",
    "name: ../up": "name (line 3): found '../up' ; wanted a folder name",
    "name: .hidden": "no dot or dash in front",
    "points: {epochs: 9}": "points (line 3): found a mapping ; wanted a list of mappings",
    "points: [5]": "points[0] (line 3): found 5 ; wanted a mapping of parameters",
    "points: [{epochs: 9}]": "points[0].epochs (line 3): found 9 ; wanted a value of its",
    "points: [{depth: 3}]": "hint: give it under parameters too",
    "points: [{zoom: 0.1}]\nparamters: {}": "did you mean 'parameters'?",
    "demo: 5": "demo (line 3): found 5 ; wanted a mapping",
    "demo: {parameters: {epochs: {value: 0}}}": "demo.parameters.epochs.value (line 3): found 0",
    "demo: {foo: 1}": "demo.foo (line 3): found an unknown key",
}


@pytest.mark.parametrize("line", OTHER_FAULTS)
def test_fault_outside_the_parameters_is_told(problems, line):
    assert OTHER_FAULTS[line] in "\n".join(problems(search("{epochs: {value: 50}}", line)))


def test_missing_method_is_told(problems):
    found = problems("parameters: {epochs: {value: 5}}")
    assert found == ["method: found nothing ; wanted grid, random, bayes, gp or cmaes"]


def test_grid_over_a_continuum_is_refused(problems):
    text = "method: grid\nparameters:\n  dropout: {min: 0.0, max: 0.5}\n"
    assert "parameters.dropout (line 3): found 0 to 0.5 ; wanted values" in problems(text)[0]


def test_huge_grid_is_refused(problems):
    text = "method: grid\nparameters: {epochs: {min: 1, max: 9999}, batch_size: {min: 1, max: 99}}"
    assert "found a grid of 989901 points ; wanted at most 100000" in problems(text)[0]


def test_point_outside_its_condition_is_refused(problems):
    spaces = (
        "{optimizer: {values: [adamw, sgd]}, momentum: {values: [0.9], when: {optimizer: sgd}}}"
    )
    found = problems(search(spaces, "points: [{optimizer: adamw, momentum: 0.9}]"))
    assert found[0].endswith(
        "found 'momentum', which does not count here ; wanted optimizer is sgd"
    )


@pytest.mark.parametrize(
    ("parameter", "domain"),
    [
        ("dropout: {value: 0}", Constant(0.0)),
        ("norm: {values: [batch, none]}", Choice(("batch", "none"))),
        ("residual: {values: [on, off]}", Choice((True, False))),
        ("norm: {values: [batch], probabilities: [1]}", Weighted(("batch",), (1.0,))),
        ("depth: {min: 2, max: 5}", IntRange(2, 5)),
        ("depth: {min: 1.5, max: 5.5}", IntRange(2, 5)),
        ("base_filters: {min: 8, max: 70, q: 16}", IntRange(16, 64, step=16)),
        ("base_filters: {distribution: log_uniform_values, min: 8, max: 9}", IntRange(8, 9, True)),
        ("dropout: {min: 0.0, max: 0.5}", FloatRange(0.0, 0.5)),
        ("dropout: {min: 0, max: 0.5}", FloatRange(0.0, 0.5)),
        ("grad_clip: {min: 0, max: 3}", FloatRange(0, 3, step=1.0)),
        ("zoom: {min: 0.05, max: 0.3, q: 0.1}", FloatRange(0.1, 0.3, step=0.1)),
        ("zoom: {distribution: q_uniform, min: 0.0, max: 0.9}", Constant(0.0)),
        ("weight_decay: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}",
         FloatRange(1e-4, 1e-2, True)),
        ("momentum: {distribution: normal, mu: 0.5, sigma: 0.1}",
         Quantile("normal", 0.5, 0.1, 0.0, 1.0).cut()),
    ],
)  # fmt: skip
def test_domain_follows_the_rules_of_wandb(load, parameter, domain):
    assert load(search(f"{{{parameter}}}")).space.parameters[0].domain == domain


def test_exponents_are_natural_logarithms(load):
    text = "learning_rate: {distribution: %s, min: -9.210340371976182, max: -4.605170185988091}"
    domain = load(search(f"{{{text % 'log_uniform'}}}")).space["learning_rate"].domain
    assert (domain.low, domain.high) == (pytest.approx(1e-4), pytest.approx(1e-2))
    text = "{grad_clip: {distribution: inv_log_uniform, min: -4.605170185988091, max: 0}}"
    domain = load(search(text)).space["grad_clip"].domain
    assert (domain.low, domain.high) == (pytest.approx(1), pytest.approx(100))
