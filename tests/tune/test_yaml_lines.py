from __future__ import annotations

import contextlib
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.errors import StudyFileError
from tune.study_file import load_study
from tune.yaml_lines import parse_yaml, read_yaml, write_yaml


def plain(text: str):
    node, problems = parse_yaml(text)
    assert not problems
    return node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1e3", 1000.0),
        ("1E-3", 1e-3),
        ("-2.5e+2", -250.0),
        (".5", 0.5),
        ("8_000_000", 8_000_000),
        ("0x10", 16),
        ("010", 10),
        ("1:30", "1:30"),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("On", "On"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("none", "none"),
        ("'1e-4'", "1e-4"),
        ("!!str 5", "5"),
        ("2024-01-01", "2024-01-01"),
        ("-.inf", -math.inf),
    ],
)
def test_scalar_means_what_a_person_means(text, value):
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_line_and_path():
    node, _ = parse_yaml("a: 1\nb:\n  c: [4,\n   5]\n")
    inner = node.get("b").get("c")
    assert (inner.path, inner.line, inner.value[1].line) == ("b.c", 3, 4)
    assert inner.value[1].place == "b.c[1] (line 4)"


def test_anchors_aliases_and_merge_keys_are_read():
    text = "a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n"
    assert plain(text) == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2}, "c": {"p": 1, "q": 3}}


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("a: 1\nb: 2\na: 3", "a (line 3)", "the key 'a' again; line 1 has it first"),
        ("a:\n\tb: 1", "line 2", "cannot start any token"),
        ("a: [1, 2", "line 1", "expected ',' or"),
        ("x: 1\na: b: c", "line 2", "mapping values are not allowed"),
        ("a: !!python/name:os.system x", "a (line 1)", "python/name"),
        ("a: !secret x", "a (line 1)", "the tag !secret"),
        ("a: 1\n---\nb: 2", "line 2", "but found another document"),
        ("? [1]\n: 2", "file (line 1)", "a key that is a list"),
        ("a: *nowhere", "line 1", "undefined alias"),
        ("a: &a [*a]", "file", "an alias inside itself"),
        ("[" * 1200, "file", "too deep"),
        ("a: b\x00", "line 1", "'\\x00'"),
    ],
)
def test_fault_says_where_and_what(text, place, found):
    _, problems = parse_yaml(text)
    assert problems[0].place == place
    assert found in problems[0].found


def test_aliases_cannot_blow_up():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    _, problems = parse_yaml("\n".join(lines))
    assert "too many values" in problems[0].found


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "found nothing ; wanted a mapping"),
        (b"# nothing but a remark\n", "found nothing ; wanted a mapping"),
        (b"- 1\n- 2\n", "found a list ; wanted a mapping"),
        (b"just words", "found 'just words' ; wanted a mapping"),
        (b"a: 1\nb: \xff\xfe\n", "line 2: found bytes that are not UTF-8"),
        (b"a: 1\n" * 100_000, "500000 bytes ; wanted at most"),
    ],
)
def test_unusable_file_is_refused(tmp_path, raw, fault):
    path = tmp_path / "study.yaml"
    path.write_bytes(raw)
    with pytest.raises(StudyFileError) as caught:
        read_yaml(path)
    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(StudyFileError, match="file: found no such file ; wanted a study file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(StudyFileError, match="file: found a folder ; wanted a study file"):
        read_yaml(tmp_path)


def test_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path)[0].plain() == {"a": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["1e3", "no", "a", "010"]), values))
@settings(max_examples=50, deadline=None)
def test_what_is_written_reads_back_equal(data):
    assert plain(write_yaml(data)) == data


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_study_or_a_study_file_error(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("fuzz") / "study.yaml"
    path.write_bytes(raw)
    with pytest.raises(StudyFileError, match="problem"):
        load_study(path, demo=False)


words = ["name", "method", "grid", "parameters", "epochs", "value", "values", "when", "points"]
words += ["demo", "data", "min", "max", "{", "}", "[", "]", ":", "- ", "\n", "  ", ", ", "1", "&a "]
words += ["*a", "metric", "early_terminate", "distribution", "normal", "1e-3", "optimizer", "<<"]


@given(st.lists(st.sampled_from(words), max_size=40).map("".join), st.booleans())
@settings(max_examples=120, deadline=None)
def test_any_words_of_the_format_give_a_study_or_a_study_file_error(tmp_path_factory, text, demo):
    path = tmp_path_factory.mktemp("fuzz") / "study.yaml"
    path.write_text(text)
    with contextlib.suppress(StudyFileError):
        load_study(path, demo=demo)


trees = st.recursive(
    st.sampled_from([None, True, 0, 1, -1, 0.5, 1e-3, 1e300, "sgd", "x", "", "normal", "grid"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(
        ["value", "values", "min", "max", "q", "mu", "sigma", "distribution", "when", "optimizer",
         "epochs", "batch_size", "learning_rate", "name", "goal", "type", "probabilities", "a", "b",
         "momentum", "min_iter", "max_iter", "s", "channels", "classes", "wandb", "hours"]),
        below, max_size=4),
    max_leaves=12,
)  # fmt: skip
keys = ["name", "method", "metric", "data", "split", "parameters", "points", "early_terminate"]
keys += ["run_cap", "budget", "resources", "tracking", "demo", "seed", "constraints", "command"]


@given(st.dictionaries(st.sampled_from(keys), trees, max_size=6))
@settings(max_examples=120, deadline=None)
def test_any_tree_of_the_format_gives_a_study_or_a_study_file_error(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("fuzz") / "study.yaml"
    path.write_text(yaml.safe_dump({"method": "random", **tree}))
    with contextlib.suppress(StudyFileError):
        load_study(path, demo=False)
