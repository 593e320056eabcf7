"""Suite: several studies in one run, one after another."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import (
    DataError,
    InvalidInput,
    Problem,
    SegtuneError,
    StudyFileError,
    UnwritableError,
)
from tune.field_checks import read_model
from tune.preparing import build_store
from tune.request import Request
from tune.run import run_search
from tune.study_file import StudyFile, as_folder_name
from tune.study_parts import SuiteHead
from tune.yaml_lines import read_yaml

if TYPE_CHECKING:
    from tune.interruption import Interruption
    from tune.suite_table import SuiteLine

__all__ = ["Suite", "describe_suite", "is_suite", "load_suite", "run_suite"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Suite:
    """A suite whose studies are all right.

    Args:
        name: Names the folder that holds the run directories.
        description: For people.
        requests: What is asked of each study.
        studies: The studies themselves, in the same order.
        folder: Where the run directories go.
    """

    name: str
    description: str
    requests: tuple[Request, ...]
    studies: tuple[StudyFile, ...]
    folder: Path


def is_suite(path: Path) -> bool:
    """Is this file a suite? It is, if it has the key ``studies``.

    Args:
        path: A study file or a suite.

    Returns:
        Whether it is one.

    Raises:
        StudyFileError: The file cannot be read at all.
    """
    return read_yaml(path)[0].get("studies") is not None


def load_suite(request: Request) -> Suite:
    """Read a suite and all its studies; the faults of all of them are told at once.

    Args:
        request: What was asked for; ``--set`` is laid over every study.

    Returns:
        The suite.

    Raises:
        StudyFileError: The suite or a study has faults.
        DataError: A data folder is not there.
    """
    path, (root, problems) = request.space, read_yaml(request.space)
    head = read_model(SuiteHead, root, problems)
    name, wanted = as_folder_name(head.name if head else None, path)
    if wanted:
        node = root.get("name")
        problems.append(Problem(node.place if node else "name", repr(name), wanted))
    if request.trials is not None:
        hint = "every study has trials of its own; give it with one of the files"
        problems.append(Problem("--trials", request.trials, "no --trials with a suite", hint))
    if request.extend:
        found, hint = str(request.extend), "run the study by itself, with --out for its folder"
        problems.append(Problem("--extend", found, "no --extend with a suite", hint))
    if problems or head is None:
        raise StudyFileError(str(path), problems)
    asked = [
        replace(
            request,
            space=path.parent / one.space,
            data=request.data / (one.data or "") if request.data is not None else None,
            cache=request.out / ".cache",
        )
        for one in head.studies
    ]
    studies = _gather(str(path), asked, Request.load)
    _require_own_folders(path, studies)
    folder = request.out / (f"{name}-demo" if any(one.demo for one in studies) else name)
    url = request.mirror and f"{request.mirror}/{folder.name}"
    requests = tuple(replace(one, out=folder, mirror=url, report=False) for one in asked)
    return Suite(name, head.description, requests, tuple(studies), folder)


def run_suite(request: Request, console: Console, interruption: Interruption | None = None) -> int:
    """Run or continue all studies; the same command continues where it ended.

    The data of all of them are prepared and checked before anything is trained. A study
    that then fails is told, and the others go on.

    Args:
        request: What was asked for.
        console: Where to show it.
        interruption: Why to wind down; None for one of its own.

    Returns:
        The exit code: 0 done, 1 if a study failed, 128 and its number for a signal.

    Raises:
        SegtuneError: Something the user can mend.
        Interrupted: A signal came while nothing was in training.
    """
    from tune.interruption import Interruption
    from tune.joined import check_address
    from tune.run_directory import RunDirectory

    suite = load_suite(request)
    check_address(request.address)
    with RunDirectory(suite.folder.resolve()).locked():
        _check_data(suite, console)
        _write_table(suite, request)
        codes, interruption = [], interruption or Interruption()
        for number, one in enumerate(suite.requests, start=1):
            title = f"study {number} of {len(suite.requests)}: {suite.studies[number - 1].name}"
            console.rule(title, align="left")
            codes.append(_run_one(one, console, interruption))
            if interruption.is_set:
                break
        _conclude(suite, request, console)
    return codes[-1] if codes[-1] >= 128 else int(any(codes))


def describe_suite(request: Request, console: Console) -> None:
    """Say what each study would run; the faults of all of them are told at once.

    Args:
        request: What was asked for.
        console: Where to print.

    Raises:
        SegtuneError: A file or a data folder has faults.
    """
    from tune.plan import describe_plan

    suite = load_suite(request)

    def describe(one: Request) -> str:
        with console.capture() as capture:
            describe_plan(one, console)
        return capture.get()

    texts = _gather(str(request.space), suite.requests, describe)
    trials = sum(study.num_planned or 0 for study in suite.studies)
    line = f"suite {suite.name}: {len(suite.studies)} studies, {trials} trials"
    console.print(line, style="bold", markup=False, highlight=False)
    for study, text in zip(suite.studies, texts, strict=True):
        console.rule(study.name, align="left")
        console.out(text, highlight=False)


def _gather(
    place: str, requests: Sequence[Request], act: Callable[[Request], Result]
) -> list[Result]:
    """Do it for every study; what is wrong with any of them is told in one error, once."""
    found, problems = [], dict[Problem, None]()
    kinds = set()
    for request in requests:
        try:
            found.append(act(request))
        except InvalidInput as error:
            kinds.add(type(error))
            for one in error.problems:
                source = "" if error.source == "command line" else f"{error.source}: "
                problems[replace(one, place=f"{source}{one.place}")] = None
    if problems:
        raise (kinds.pop() if len(kinds) == 1 else DataError)(place, problems)
    return found


def _require_own_folders(path: Path, studies: Sequence[StudyFile]) -> None:
    first: dict[str, StudyFile] = {}
    problems = [
        Problem(str(study.path), f"the name '{study.name}' again, as in {first[study.name].path}",
                "a name of its own: it names the run directory")
        for study in studies
        if first.setdefault(study.name, study) is not study
    ]  # fmt: skip
    if problems:
        raise StudyFileError(str(path), problems)


def _check_data(suite: Suite, console: Console) -> None:
    """Prepare the data of every study, and see that each can be divided."""
    from tune.division import divide

    def check(request: Request) -> None:
        study = request.load_to_train()
        divide(build_store(request, study, console), study)

    _gather(str(suite.requests[0].data or "data"), suite.requests, check)


def _run_one(request: Request, console: Console, interruption: Interruption) -> int:
    """One study; whatever befalls it is told and is not the others' business, a signal is."""
    code = 1
    try:
        code = run_search(request, console, interruption)
        text = ""
    except UnwritableError:
        raise  # the others have no room either
    except SegtuneError as error:
        text = f"error: {error}"
    except Exception:
        text = traceback.format_exc()
    if text:
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    return interruption.exit_code or code


def _write_table(suite: Suite, request: Request) -> list[SuiteLine]:
    from seglib.files import write_whole
    from tune.suite_table import TABLE, list_lines, write_lines

    lines = [
        line
        for study in suite.studies
        for line in list_lines(study, suite.folder / study.folder_name, request.storage)
    ]
    write_whole(suite.folder / TABLE, write_lines(lines))
    return lines


def _conclude(suite: Suite, request: Request, console: Console) -> None:
    """Write table and report, and show them."""
    from tune.reporting.page import add_report
    from tune.suite_table import TABLE, render_lines

    lines = _write_table(suite, request)
    demo = any(study.data.layout in PHANTOM_LAYOUTS for study in suite.studies)
    title = f"{suite.name}: best epoch on the validation cases, mean over seeds"
    console.rule()
    console.print(title + (", PHANTOMS" if demo else ""), style="bold", markup=False)
    console.print(render_lines(lines), markup=False)
    for note in dict.fromkeys(study.published.note for study in suite.studies):
        if note:
            console.print(f"published: {note}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"table:       {(suite.folder / TABLE).resolve()}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if any((suite.folder / study.folder_name).exists() for study in suite.studies):
        add_report(suite.folder, console, request.storage)
