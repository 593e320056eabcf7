"""The space of a study file: its parameters, and what each waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from seglib.architectures import ARCHITECTURES, NETWORK_FIELDS, means_something
from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.domains import Domain, Value, same, show
from tune.field_checks import check_value, did_you_mean, list_words
from tune.space import Parameter, Space
from tune.study_parameters import read_domain
from tune.yaml_lines import Node

__all__ = ["SpacePart", "read_space"]

When = dict[str, tuple[Value, ...]]


@dataclass(frozen=True)
class SpacePart:
    """The space, and what an overlay did to it.

    Args:
        space: All parameters that can count.
        replaced: Parameters whose domain ``demo`` or ``--set`` replaced.
        dropped: Parameters left out, because they wait for a value so taken away.
    """

    space: Space
    replaced: frozenset[str]
    dropped: frozenset[str]


@dataclass
class _Reading:
    specs: dict[str, Node]
    problems: list[Problem]
    notes: list[str]
    domains: dict[str, Domain] = field(default_factory=dict)
    whens: dict[str, When] = field(default_factory=dict)

    def fault(self, node: Node, found: str, wanted: str = "", hint: str = "") -> None:
        self.problems.append(Problem(node.place, found, wanted, hint))

    def read_when(self, name: str, node: Node) -> When | None:
        """The condition of one parameter; None when it can never hold and is no fault."""
        if not isinstance(node.value, dict) or not node.value:
            self.fault(node, node.words, "a mapping of another parameter to its value or values")
            return {}
        when: When = {}
        for parent, wanted in node.items():
            if parent == name:
                self.fault(wanted, "a parameter that waits for itself", "another parameter")
            elif parent not in self.specs:
                hint = did_you_mean(parent, self.specs) or "give it under parameters too"
                self.fault(wanted, f"'{parent}', which is no parameter here", "", hint)
            elif parent in self.domains:
                values = self.read_wanted(name, parent, wanted)
                if values is None:
                    return None
                when[parent] = values
        return when

    def read_wanted(self, name: str, parent: str, node: Node) -> tuple[Value, ...] | None:
        """The values of ``parent`` that count; those it never takes are faults."""
        domain = self.domains[parent]
        # a parent that demo or --set replaced may rightly lack the value
        gives_way = self.specs[parent].overlay and not self.specs[name].overlay
        kept: list[Value] = []
        for one in node.value if node.is_list else [node]:
            value, wanted = check_value(parent, one.value)
            if wanted:
                self.fault(one, one.words, wanted)
            elif domain.grid() is None:
                hint = f"{parent} takes {domain.describe()}, and hardly ever {show(value)}"
                self.fault(one, "a condition on a continuous parameter", "one with values", hint)
            elif domain.contains(value):
                kept.append(value)
            elif not gives_way:
                self.fault(one, one.words, f"a value that {parent} takes: {domain.describe()}")
        if not kept and gives_way:
            return None
        if node.is_list and not node.value:
            self.fault(node, "an empty list", "one or more values")
        return tuple(kept)

    def read_conditions(self) -> set[str]:
        """Read every `when`; answer the parameters to leave out, and what waits for those."""
        gone: set[str] = set()
        for name, spec in self.specs.items():
            node = spec.get("when")
            if node is None or name not in Recipe.model_fields:
                continue
            when = self.read_when(name, node)
            if when is None:
                gone.add(name)
            else:
                self.whens[name] = when
        gone |= self.bind_to_networks(gone)
        while more := {name for name, when in self.whens.items() if gone & set(when)}:
            gone |= more
            self.whens = {name: when for name, when in self.whens.items() if name not in gone}
        for name in self.specs:
            if name in gone:
                self.notes.append(f"{name} is left out: what it waits for cannot happen here")
        return gone

    def bind_to_networks(self, gone: set[str]) -> set[str]:
        """Let fields that mean something to some networks only wait for these; answer those lost.

        What is so for some of the architectures is added to the conditions; what can never
        count is a fault, unless an overlay changed the architecture under it.
        """
        lost: set[str] = set()
        parent = self.specs.get("architecture")
        if parent is not None and "architecture" not in self.domains:
            return lost  # it has faults of its own
        if parent is not None and (node := parent.get("when")):
            self.fault(node, "a condition", "none: the architecture says which fields count")
        kinds = (Recipe().architecture,)
        every = self.domains["architecture"].grid() or () if parent is not None else kinds
        for name in self.domains:
            if name not in NETWORK_FIELDS or name in gone:
                continue
            given = self.whens.get(name, {}).get("architecture")
            values = every if given is None else given
            counts = tuple(one for one in values if means_something(name, str(one)))
            gives_way = parent is not None and _rank(parent) > _rank(self.specs[name])
            if counts == values:
                continue
            if not counts and gives_way:
                lost.add(name)
            elif not counts or (given is not None and not gives_way):
                self.refuse_field(name, [str(one) for one in values if one not in counts])
            else:
                self.whens[name] = {**self.whens.get(name, {}), "architecture": counts}
        return lost

    def refuse_field(self, name: str, kinds: list[str]) -> None:
        """A parameter under networks to which it means nothing."""
        spec = self.specs[name]
        when = spec.get("when")
        node = (when.get("architecture") if when else None) or spec
        known = list_words(kind for kind in ARCHITECTURES if means_something(name, kind))
        found = "a parameter that is never active" if node is spec else "networks without it"
        found += f": {name} means nothing to {list_words(kinds)}"
        hint = "" if "architecture" in self.specs else "give architecture under parameters, too"
        self.fault(node, found, f"it with the architecture {known}", hint)

    def check_reach(self) -> None:
        """Circles, and parameters whose conditions contradict each other along the way up."""
        for name in self.whens:
            reach: dict[str, tuple[Value, ...]] = {}
            waiting, seen = [name], set()
            while waiting:
                for parent, values in self.whens.get(waiting.pop(), {}).items():
                    both = reach.get(parent, values)
                    reach[parent] = tuple(v for v in values if any(same(v, o) for o in both))
                    if parent not in seen:
                        seen.add(parent)
                        waiting.append(parent)
            node = self.specs[name].get("when") or self.specs[name]
            if name in reach:
                self.fault(
                    node, f"a circle: {name} waits for itself", "a start that waits for none"
                )
            for parent, values in reach.items():
                if not values and self.whens[name]:
                    found = f"a parameter that is never active: {parent} cannot be both"
                    self.fault(node, found, "conditions that can hold together")


def _rank(spec: Node) -> int:
    """Who has the last word on a parameter: the file, its demo part, or the command line."""
    is_set = bool(spec.option) or any(part.option for _, part in spec.items())
    return 2 if is_set else int(spec.overlay)


def read_space(node: Node | None, problems: list[Problem], notes: list[str]) -> SpacePart | None:
    """Read the parameters.

    Args:
        node: The ``parameters:`` part.
        problems: Faults are appended.
        notes: What is right but may surprise is appended.

    Returns:
        The space, or None when there are faults.
    """
    before = len(problems)
    if node is None or not isinstance(node.value, dict) or not node.value:
        place, found = (node.place, node.words) if node else ("parameters", "nothing")
        problems.append(Problem(place, found, "a mapping of one or more recipe fields"))
        return None
    reading = _Reading(dict(node.items()), problems, notes)
    for name, spec in node.items():
        domain = read_domain(name, spec, problems, notes)
        if domain is not None:
            reading.domains[name] = domain
    dropped = reading.read_conditions()
    reading.check_reach()
    if len(problems) > before:
        return None
    kept = [(name, domain) for name, domain in reading.domains.items() if name not in dropped]
    return SpacePart(
        Space(tuple(Parameter(name, domain, reading.whens.get(name, {})) for name, domain in kept)),
        frozenset(name for name, spec in node.items() if spec.overlay),
        frozenset(dropped),
    )
