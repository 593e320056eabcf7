"""Points, above all those of a grid: rows with names, inside the product and beside it."""

from __future__ import annotations

import pytest

from seglib.errors import StudyFileError
from tune.yaml_lines import write_yaml

GRID = """\
method: grid
parameters:
  loss: {values: [bce, dice]}
  base_filters: {values: [8, 16]}
  rotation_deg: {value: 0}
  epochs: {value: 5}
"""
POINTS = """\
points:
  - {name: 1b, loss: dice, base_filters: 8}
  - {name: 4, loss: dice, base_filters: 8, rotation_deg: 10}
  - {loss: bce, base_filters: 8}
"""


def test_point_names_a_row_or_adds_one_beside_the_product(load):
    rows = load(GRID + POINTS).rows
    found = [(row.name, *(row.values[key] for key in row.values)) for row in rows]
    assert found == [
        ("1b", "dice", 8, 0, 5),
        ("4", "dice", 8, 10, 5),
        ("", "bce", 8, 0, 5),
        ("", "bce", 16, 0, 5),
        ("", "dice", 16, 0, 5),
    ]


def test_product_is_whole_though_no_point_names_it(load):
    text = "method: grid\nparameters: {epochs: {value: 5}}\npoints: [{name: long, epochs: 50}]"
    study = load(text)
    assert [(row.name, row.values) for row in study.rows] == [
        ("long", {"epochs": 50}),
        ("", {"epochs": 5}),
    ]
    assert study.horizon == 50


def test_trials_are_rows_times_seeds(load):
    study = load(GRID + POINTS + "seeds: [4, 0]")
    assert (study.seeds, study.num_planned) == ((4, 0), 10)
    assert load(GRID + POINTS + "seeds: [4, 0]\nrun_cap: 7").num_planned == 7
    assert load(GRID + POINTS).num_planned == 5


def test_trials_of_one_seed_start_alike_and_others_by_their_number(load):
    study = load(GRID)
    assert study.trial_seed(3, 1) == study.trial_seed(9, 1)
    assert study.trial_seed(3, 1) != study.trial_seed(3, 2)
    assert study.trial_seed(3, None) != study.trial_seed(9, None)


def test_resolved_grid_loads_as_an_equal_study(load):
    text = GRID + POINTS + "seeds: [0, 1]\npublished: {note: n, scores: {4: 0.97, 1b: '0.9-1'}}"
    study = load(text)
    assert study.published.scores == {"4": "0.97", "1b": "0.9-1"}
    again = load(write_yaml(study.resolved()))
    assert again == study
    assert again.rows == study.rows


def test_conditional_parameter_counts_in_the_rows_where_its_condition_holds(load):
    text = (
        "method: grid\nparameters: {optimizer: {value: adam}, "
        "momentum: {values: [0.8, 0.9], when: {optimizer: sgd}}}\n"
    )
    with pytest.raises(StudyFileError, match="a value that optimizer takes"):
        load(text)
    text = text.replace("{value: adam}", "{values: [adam, sgd]}")
    beside = "points: [{name: m, optimizer: sgd, momentum: 0.5}, {name: a, optimizer: adam}]"
    assert [row.values for row in load(text + beside).rows] == [
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.8},
        {"optimizer": "sgd", "momentum": 0.9},
    ]


FAULTS = {
    "points: [{loss: dice}]": "points[0] (line 7): found no base_filters ; wanted base_filters: 8 "
    "or 16\n    hint: a row of a grid says what it takes of each parameter with several values",
    "points: [{loss: dise, base_filters: 8}]": "points[0].loss (line 7): found 'dise' ; wanted one",
    "points: [{loss: dice, base_filters: 1}]": "found 1 ; wanted a number of at least 2",
    "points: [{loss: dice, base_filters: 8, zoom: 0.1}]": "hint: give it under parameters too",
    "points: [{name: '', loss: dice, base_filters: 8}]": "found '' ; wanted a printable name of",
    "points: [{name: [a], loss: dice, base_filters: 8}]": "found a list ; wanted a printable name",
    "points: [{name: true, loss: dice, base_filters: 8}]": "found true ; wanted a printable name",
    'points: [{name: "a\\nb", loss: dice, base_filters: 8}]': "wanted a printable name",
    f"points: [{{name: {'x' * 41}, loss: dice, base_filters: 8}}]": "of at most 40 characters",
    "points: [{name: a, loss: dice, base_filters: 8}, {name: a, loss: bce, base_filters: 8}]":
        "points[1].name (line 7): found the name 'a' again; line 7 has it first ; wanted each name",
    "points: [{name: a, loss: dice, base_filters: 8}, {name: b, loss: dice, base_filters: 8}]":
        "points[1] (line 7): found the same row as points[0] (line 7) ; wanted each row once",
    "seeds: []": "seeds (line 7): found an empty list ; wanted one or more seeds",
    "seeds: [1, 1]": "seeds (line 7): found a list ; wanted each seed once, not 1 twice",
    "seeds: [-1]": "seeds[0] (line 7): found -1 ; wanted a number of at least 0",
    "seeds: 3": "seeds (line 7): found 3 ; wanted a list",
    "published: {scores: {a: 1}}": "published.scores.a (line 7): found 'a', which no point is "
    "called ; wanted points with names",
    "published: {scores: {a: [1]}}": "published.scores.a (line 7): found a list ; wanted text",
    "published: {note: [n]}": "published.note (line 7): found a list ; wanted text",
}  # fmt: skip


@pytest.mark.parametrize("line", FAULTS)
def test_fault_of_a_grid_is_told(problems, line):
    assert FAULTS[line] in "\n".join(problems(GRID + line))


def test_all_faults_of_points_and_published_come_in_one_answer(problems):
    text = GRID + POINTS + "published: {scores: {2a: 0.9, 4: 0.8, 9: 0.7}}\nseeds: [1, 1]"
    found = problems(text)
    assert [one.partition(":")[0] for one in found] == [
        "published.scores.2a (line 11)",
        "published.scores.9 (line 11)",
        "seeds (line 12)",
    ]
    assert "wanted 1b or 4" in found[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "seeds: [0, 1]",
            "seeds (line 3): found seeds with the method bayes ; wanted it only with",
        ),
        ("published: {scores: {}}", "published (line 3): found published with the method bayes"),
        ("points: [{name: a, epochs: 5}]", "found a name ; wanted values of parameters only"),
    ],
)
def test_what_only_a_grid_has_is_refused_elsewhere(problems, line, said):
    assert said in "\n".join(
        problems(f"method: bayes\nparameters: {{epochs: {{value: 5}}}}\n{line}")
    )


def test_rows_that_an_override_makes_alike_are_one_row_and_that_is_said(load):
    study = load(GRID + POINTS, "base_filters=4", "rotation_deg=5")
    assert [(row.name, row.values["rotation_deg"]) for row in study.rows] == [("1b", 5), ("", 5)]
    assert "points[1] (line 9) is left out: here it is the same as points[0]" in study.notes


def test_published_scores_of_points_that_an_override_took_away_are_dropped(load):
    text = GRID + POINTS + "published: {scores: {4: 0.97, 1b: 0.9}}"
    assert load(text, "points=[]").published.scores == {}
    assert load(text, "rotation_deg=0", "loss=dice", "base_filters=8").published.scores == {
        "1b": "0.9"
    }


def test_points_of_the_demo_take_the_place_of_the_others(load):
    text = GRID + POINTS + (
        "published: {scores: {4: 0.97}}\n"
        "demo: {parameters: {base_filters: {value: 2}}, points: [{name: 4, loss: dice, "
        "base_filters: 3}]}\n"
    )  # fmt: skip
    assert [(row.name, row.values["base_filters"]) for row in load(text, demo=True).rows] == [
        ("4", 3),
        ("", 2),
        ("", 2),
    ]


def test_channels_that_the_data_lack_are_told(load):
    text = (
        "method: grid\ndata: {layout: brats, channels: [flair, t1ce]}\n"
        "parameters:\n  channels: {values: [all, flair, t1ce+pet]}\n"
        "points: [{name: x, channels: t2}]\n"
    )
    with pytest.raises(StudyFileError) as caught:
        load(text)
    assert [(one.place, one.found) for one in caught.value.problems] == [
        ("parameters.channels (line 4)", "'t1ce+pet'"),
        ("parameters.channels (line 4)", "'t2'"),
    ]
    assert "some of flair + t1ce" in str(caught.value)
    load(text.replace("+pet", "+flair").replace("channels: t2", "channels: t1ce"))
