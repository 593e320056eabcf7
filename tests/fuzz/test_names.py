"""What a stranger named cannot run: not in the report's page, not by being unpickled."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from seglib.data.dataset import plain_name
from seglib.data.store import Store
from seglib.errors import Problem, StudyFileError
from tests.tune.reporting.runs import final_table, make_run, write_study
from tune.reporting.page import write_report
from tune.study_file import load_study

pytestmark = pytest.mark.fault("parsers")

ROOT = Path(__file__).parents[2]
SCRIPT = "</text></svg><script>alert(1)</script><b onload='x'>\"&"


@pytest.mark.slow
def test_names_in_a_report_are_words_and_no_page(tmp_path: Path, store: Store) -> None:
    path = write_study(tmp_path / "small.yaml", "batch")
    path.write_text(path.read_text().replace("name: 1a", f"name: {SCRIPT[:35]!r}"))
    path.write_text(path.read_text().replace("four groups", "<img src=x onerror=alert(2)>"))
    path.write_text(path.read_text().replace("{1a:", f"{{{SCRIPT[:35]!r}:"))
    run = make_run(tmp_path / "run", store, path, finish=6)
    for number in range(6):
        table = final_table((SCRIPT, "$\\frac{", "../../x"), 0.5, seed=number)
        table.to_csv(run.path / "trials" / str(number) / "final.csv", index=False)
        (run.path / "trials" / str(number) / "notes.txt").write_text(SCRIPT)
    before = {one.name for one in tmp_path.iterdir()}
    page = write_report(run.path).read_text(encoding="utf-8").lower()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<b onload" not in page
    assert {one.name for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "'x", "\t=1", "a\\b", "x" * 5000])
def test_a_plain_name_is_no_formula_and_of_bounded_length(name: str) -> None:
    plain = plain_name(name)
    assert plain.isprintable()
    assert plain[0] not in "=+-@\t"
    assert len(plain) <= 200


def test_different_names_stay_different() -> None:
    names = ["\\n", "\n", "'=", "=", "''=", "a" * 300, "a" * 301, "\\\\", "\\", "\ud800", "\\ud800"]
    assert len({plain_name(name) for name in names}) == len(names)


def test_a_terminal_is_told_nothing_but_letters() -> None:
    problem = Problem("\x1b[2J\n", "\x07\ud800", "a\u202eb", "one\ntwo\x1b")
    assert str(problem).splitlines() == [
        "\\x1b[2J\\n: found \\x07\\ud800 ; wanted a\\u202eb",
        "    hint: one",
        "two\\x1b",
    ]


def test_a_hundred_problems_are_listed_and_the_rest_counted() -> None:
    text = str(StudyFileError("a.yaml", [Problem(f"k{number}", "it") for number in range(250)]))
    assert text.splitlines()[0] == "a.yaml: 250 problems"
    assert text.splitlines()[-2:] == ["  k99: found it", "  and 150 more"]


@pytest.mark.parametrize(
    "name", ["../up", "/tmp/x", "-rf", "..", "a/b", "\u2025", "a\u0000", "x" * 101]
)
def test_a_study_cannot_name_a_folder_outside_its_own(name: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        f"method: random\nparameters: {{epochs: {{value: 3}}}}\nname: {name!a}\n".replace("'", '"')
    )
    with pytest.raises(StudyFileError, match="wanted a folder name"):
        load_study(path, demo=False)


def calls(*words: str) -> list[tuple[str, str, ast.Call]]:
    """Every call in a file of ours that holds one of these words."""
    found: list[tuple[str, str, ast.Call]] = []
    for path in [*(ROOT / "seglib").rglob("*.py"), *(ROOT / "tune").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(text)) if any(word in text for word in words) else ()
        found += [(path.name, ast.unparse(n.func), n) for n in nodes if isinstance(n, ast.Call)]
    return found


def test_nothing_unpickles_evaluates_or_builds_objects_from_a_file() -> None:
    found = calls("pickle", "eval(", "exec(", "yaml.", "np.load", "torch.load")
    words = {name for _, name, _ in found}
    runs_code = {"eval", "exec", "pickle.load", "pickle.loads", "pd.read_pickle", "yaml.load",
                 "yaml.unsafe_load", "yaml.full_load", "joblib.load", "shelve.open"}  # fmt: skip
    assert words & runs_code == set()
    for file, name, node in found:
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if name == "torch.load":
            assert options.get("weights_only") == "True", file
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", file
    assert "torch.load" in words
