"""YAML in which every value remembers its line.

Stricter than PyYAML where silence costs a search: a key given twice is a fault,
only plain data may be written, and aliases cannot blow the file up. Kinder where
PyYAML surprises: ``1e-4`` is a number, and ``on``, ``off``, ``yes`` and ``no``
stay the words they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from seglib.errors import Problem, StudyFileError
from seglib.foreign import file_size

__all__ = ["MOST_BYTES", "Node", "parse_yaml", "read_yaml", "write_yaml"]

MOST_BYTES = 128_000
_MAX_NODES = 10_000
_MAX_DEPTH = 40
_LONGEST_KEY = 100  # every value remembers the keys above it, so long ones would multiply
_TAG = "tag:yaml.org,2002:"
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?[0-9][0-9_]{0,99}")
_HEX = re.compile(r"0x[0-9a-fA-F_]{1,99}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_HALF = re.compile("[\ud800-\udfff]")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


@dataclass(frozen=True)
class Node:
    """A value with its place.

    Args:
        value: A scalar, a list of nodes, or a dictionary of nodes.
        path: Keys that lead here, joined by dots.
        line: Line in the file, from 1; None for what no file holds.
        option: The ``--set KEY`` that gave it; empty for what a file holds.
        overlay: Is it laid over the file's own value, by ``demo`` or ``--set``?
    """

    value: Any
    path: str = ""
    line: int | None = None
    option: str = ""
    overlay: bool = False

    @property
    def place(self) -> str:
        """Where a problem with this value is."""
        if self.option:
            return self.option
        return f"{self.path or 'file'} (line {self.line})" if self.line else self.path

    def get(self, key: str) -> Node | None:
        """The node under ``key``; None when there is none, or this is no mapping."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and nodes of a mapping; nothing for any other value."""
        return iter(self.value.items() if isinstance(self.value, dict) else ())

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if self.is_list else self.value

    @property
    def is_list(self) -> bool:
        """Is the value a list?"""
        return isinstance(self.value, list)

    @property
    def words(self) -> str:
        """The value as an error message shows it."""
        if isinstance(self.value, dict):
            return "a mapping" if self.value else "an empty mapping"
        if self.is_list:
            return "a list" if self.value else "an empty list"
        if self.value is None:
            return "nothing"
        if isinstance(self.value, bool):
            return str(self.value).lower()
        text = repr(self.value) if isinstance(self.value, str) else f"{self.value}"
        return text if len(text) <= 60 else text[:57] + "..."


class _Loader(yaml.SafeLoader):
    """PyYAML's parser; an untagged plain scalar gets no tag, so it can be told apart."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return ""
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


@dataclass
class _Reading:
    option: str
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def fault(self, node: yaml.Node, path: str, *texts: str) -> None:
        place = replace(Node(None, path), line=node.start_mark.line + 1, option=self.option).place
        self.problems.append(Problem(place, *texts))

    def build(self, node: yaml.Node, path: str = "", depth: int = 0) -> Node:
        self.count += 1
        if self.count > _MAX_NODES or depth > _MAX_DEPTH:
            raise _TooMuch
        value: Any = None
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value = self._mapping(node, path, depth)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            value = [self.build(one, f"{path}[{i}]", depth + 1) for i, one in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode) and node.tag == "":
            value = _scalar(node.value)
        elif isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str":
            value = node.value
            if _HALF.search(value):
                self.fault(node, path, "half of a character, \\ud800 to \\udfff", "whole ones")
        else:
            tag = "!!" + node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else node.tag
            self.fault(node, path, f"the tag {tag}", "plain values, lists and mappings")
        return Node(value, path, node.start_mark.line + 1, self.option)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        own: dict[str, Node] = {}
        lent: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(key_node, path, "a key that is a list or a mapping", "a word")
                continue
            key = key_node.value
            if len(key) > _LONGEST_KEY or _HALF.search(key):
                shown = repr(key[:40])
                wanted = f"a word of at most {_LONGEST_KEY} whole characters"
                self.fault(key_node, path, f"a key that begins with {shown}", wanted)
                continue
            below = f"{path}.{key}" if path else key
            found = self.build(value_node, path if key == "<<" else below, depth + 1)
            # a value may start lines below its key; the key is where one looks
            found = replace(found, line=key_node.start_mark.line + 1)
            if key == "<<":
                for part in found.value if found.is_list else [found]:
                    lent = dict(part.items()) | lent
            elif key in lines:
                again = f"the key '{key}' again; line {lines[key]} has it first"
                self.fault(key_node, below, again, "each key once")
            else:
                own[key], lines[key] = found, key_node.start_mark.line + 1
        return lent | own


class _TooMuch(Exception):
    pass


def _scalar(text: str) -> Any:
    lowered = text.lower()
    if lowered in _WORDS and text in {lowered, lowered.upper(), lowered.title()}:
        return _WORDS[lowered]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _HEX.fullmatch(text):
        return int(text.replace("_", ""), 16)
    if lowered in _SPECIAL:
        return float(_SPECIAL[lowered])
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def parse_yaml(text: str, *, option: str = "") -> tuple[Node, list[Problem]]:
    """Read one YAML document.

    Args:
        text: The document.
        option: The ``--set KEY`` that holds it; empty for a file.

    Returns:
        The document's node, its value None when it cannot be read, and the faults.
    """
    reading = _Reading(option)
    place = option or "file"
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None:
            return reading.build(root), reading.problems
        return Node(None, line=None, option=option), []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark and not option else place
        said = (error.problem or "broken YAML").removeprefix("found ")
        problem = Problem(where, said, "YAML", _mend(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        where = place if option else f"line {line}"
        problem = Problem(where, f"the character {chr(int(error.character))!r}", "plain text")
    except (_TooMuch, RecursionError):
        wanted = f"at most {_MAX_NODES} values, {_MAX_DEPTH} levels deep"
        problem = Problem(place, "too many values, or too deep, or an alias inside itself", wanted)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        # PyYAML lets some slips of its own through, such as chr() of an escape out of range
        problem = Problem(place, f"something that is not YAML ({error})", "YAML")
    return Node(None, option=option), [problem]


def _mend(error: yaml.MarkedYAMLError) -> str:
    if "\\t" in (error.problem or ""):
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in (error.problem or ""):
        return "put text that holds ': ' in quotes"
    if "could not determine" in (error.problem or "") or "expected <block end>" in (
        error.problem or ""
    ):
        return "keys of one mapping must stand in one column"
    return error.context or ""


def read_yaml(path: Path) -> tuple[Node, list[Problem]]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.

    Returns:
        The top node, a mapping, and the faults found so far.

    Raises:
        StudyFileError: The file cannot be read at all.
    """
    try:
        size = file_size(path)
        if size > MOST_BYTES:
            found = f"{size} bytes"
            raise StudyFileError(str(path), [Problem("file", found, f"at most {MOST_BYTES}")])
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(f"line {line}", "bytes that are not UTF-8", "a text file in UTF-8")
        raise StudyFileError(str(path), [problem]) from None
    except (OSError, ValueError) as error:
        reason = "a folder" if isinstance(error, IsADirectoryError) else "no such file"
        if not isinstance(error, (IsADirectoryError, FileNotFoundError)):
            reason = f"no way to read it ({error})"
        raise StudyFileError(str(path), [Problem("file", reason, "a study file")]) from None
    root, problems = parse_yaml(text)
    if not problems and not isinstance(root.value, dict):
        problems = [Problem(root.place or "file", root.words, "a mapping with method, parameters")]
    if not isinstance(root.value, dict):
        raise StudyFileError(str(path), problems)
    return root, problems


class _Dumper(yaml.SafeDumper):
    pass


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # what would be read back as anything but this text needs quotes
    style = None if isinstance(_scalar(text), str) else '"'
    return dumper.represent_scalar(_TAG + "str", text, style=style)


_Dumper.add_representer(str, _write_text)


def write_yaml(data: dict[str, Any]) -> str:
    """Plain data as YAML that :func:`parse_yaml` reads back equal."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    # YAML takes these three for ends of lines, and PyYAML writes them as they are.
    if any(end in text for end in "\x85\u2028\u2029"):
        text = yaml.dump(data, Dumper=_Dumper, sort_keys=False)
    return text
