"""The house rules: budgets, names, arrows, pins, and commands that the README shows."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from tune.cli import app

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.relative_to(ROOT) for name in ("seglib", "tune") for path in (ROOT / name).rglob("*.py")
)
MODULES = [path for path in PACKAGES if path.name != "__init__.py"]
TESTS = sorted(
    path.relative_to(ROOT)
    for name in ("tests", "benchmarks")
    for path in (ROOT / name).rglob("*.py")
)

MOST_LINES = 300
MOST_LINES_OF_A_BODY = 40
MOST_POSITIONAL = 4
JUNK_DRAWERS = {"base", "common", "helpers", "misc", "util", "utils"}
OUR_COMMAND = re.compile(r"(?:\S*/)?(?:segtune|python3? tune/run\.py)(?= |$)")
MACHINE = re.compile(
    r"(?<![\w.~>)}])/(?:home|root|Users|work|workspace|mnt|scratch)/"
    r"|pypi\.org|pythonhosted\.org|download\.pytorch\.org|--(?:extra-)?index-url"
)

each_source = pytest.mark.parametrize("path", [*PACKAGES, *TESTS], ids=str)
each_module = pytest.mark.parametrize("path", MODULES, ids=str)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parse(path)) if isinstance(node, Function))


def num_body_lines(function: Function) -> int:
    """From the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def positional(function: Function) -> list[str]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in names if name not in ("self", "cls")]


def is_command(function: Function) -> bool:
    """Typer passes a command's arguments by name."""
    return any(ast.unparse(decorator) == "app.command()" for decorator in function.decorator_list)


def top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = (part for target in targets for part in ast.walk(target))
            names |= {part.id for part in parts if isinstance(part, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def imported(paths: list[Path]) -> set[str]:
    """Top names of all libraries that these files import, wherever in the file."""
    names: set[str] = set()
    for node in (node for path in paths for node in ast.walk(parse(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    scripts = {path.stem for path in TESTS if path.parts[0] == "benchmarks"}  # import each other
    own = {"benchmarks", "seglib", "tests", "tune"} | scripts
    return names - set(sys.stdlib_module_names) - own


def project() -> dict[str, object]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(table, dict)
    return table


@each_source
def test_file_and_its_functions_are_short(path):
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    long = [one.name for one in functions(path) if num_body_lines(one) > MOST_LINES_OF_A_BODY]
    assert not long


@each_module
def test_arguments_beyond_the_fourth_have_names(path):
    wide = [one.name for one in functions(path) if len(positional(one)) > MOST_POSITIONAL]
    commands = [one.name for one in functions(path) if is_command(one)]
    assert not set(wide) - set(commands)


@each_module
def test_all_names_what_is_there(path):
    tree = parse(path)
    lists = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AugAssign) and "__all__" in ast.unparse(node)
    ]
    listed = [name for part in lists for name in part]
    assert lists
    assert sorted(set(listed) - top_level_names(tree)) == []
    assert len(set(listed)) == len(listed)


@each_module
def test_module_has_a_name_of_its_own(path):
    """`python tune/run.py` puts `tune/` on the path, where it would hide a module of Python's."""
    assert path.stem not in sys.stdlib_module_names
    assert path.stem not in JUNK_DRAWERS


@each_module
def test_public_records_are_frozen(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            loose = [mark for mark in marks if "dataclass" in mark and "frozen=True" not in mark]
            assert not loose, node.name


def test_models_are_frozen_and_refuse_unknown_keys():
    for path in MODULES:
        if "BaseModel" in (ROOT / path).read_text(encoding="utf-8"):
            import_module(".".join(path.with_suffix("").parts))
    models = [*BaseModel.__subclasses__()]
    for model in models:
        models += model.__subclasses__()
    ours = [model for model in models if model.__module__.startswith(("seglib.", "tune."))]
    assert len(ours) > 5
    for model in ours:
        assert model.model_config.get("frozen"), model
        assert model.model_config.get("extra") == "forbid", model


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_every_library_that_is_imported_is_pinned(kind):
    table = project()
    extras = table["optional-dependencies"]
    more = ("dev", "fuzz") if kind == "dev" else ()
    chosen = ("aws", "cluster", "export", "monai", "s3", *more)
    pins = [*table["dependencies"], *(pin for extra in chosen for pin in extras[extra])]
    pins = [pin for pin in pins if not pin.startswith("segtune[")]  # another of these extras
    assert all(re.search(r"==\d", pin) for pin in pins)
    if kind == "dev":  # what the benchmarks compare with has environments of its own
        setup = (ROOT / "benchmarks" / "setup.sh").read_text(encoding="utf-8")
        pins += re.findall(r"(?<=[\" ])[\w-]+==[\d.]+", setup)
    named = {re.split(r"[\[=]", pin)[0] for pin in pins}
    homes = packages_distributions()
    for name in imported(PACKAGES if kind == "run" else TESTS):
        dists = {re.sub(r"[-_.]+", "-", dist).lower() for dist in homes.get(name, [name])}
        assert dists & named, name


def test_arrows_point_down():
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [tool, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_files_name_no_machine_and_no_package_server():
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout, so what belongs to the project is not known")
    found = []
    for name in done.stdout.splitlines():
        if (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {match[0]}" for match in MACHINE.finditer(text)]
    assert found == []


GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(guide: Path) -> list[str]:
    """The product's own commands in a guide's shell blocks, prompts and joins taken away."""
    text = guide.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```(?:console|bash|sh)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    parts = [part.strip().removeprefix("$ ") for line in lines for part in line.split("&&")]
    return [part for part in parts if OUR_COMMAND.match(part)]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_commands_of_a_guide_are_understood(guide):
    group = typer.main.get_command(app)
    for line in commands_in(guide):
        words = shlex.split(OUR_COMMAND.sub("", line), comments=True)
        if "run.py" in line:
            words.insert(0, "run")
        name, *rest = [word for word in words if word != "--help"]
        with group.commands[name].make_context(name, rest) as context:
            space = str(context.params.get("space"))
        assert (ROOT / space).exists() or not space.startswith("searchspaces"), line


def test_readme_begins_with_the_main_job():
    first = commands_in(ROOT / "README.md")[0]
    assert first.endswith("tune/run.py --space searchspaces/brats.yaml")
