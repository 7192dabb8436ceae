"""Rego text in the one form that `opa fmt` leaves as it is: literals, rules, comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from borderpost.policy.fields import EPOCH, format_instant
from borderpost.policy.regimes import NEVER_US

_WIDTH: Final = 110
_ANNOTATION: Final = "METADATA"
"""A comment that is this word alone begins what OPA reads as annotations."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS: Final = frozenset(
    {"as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package", "some"}
    | {"true", "with"}
)
"""Words of Rego v1 that no reference may have after a dot."""


def text(value: str) -> str:
    """Return a string literal. JSON's form is Rego's."""
    return json.dumps(value, ensure_ascii=False)


def set_of(names: Iterable[str], indent: int = 0) -> str:
    """Return a set literal of strings, sorted; over several lines where one would be too long."""
    members = [text(name) for name in sorted(set(names))]
    if not members:
        return "set()"
    line = "{" + ", ".join(members) + "}"
    if len(line) + 4 * indent <= _WIDTH - 20:
        return line
    tabs = "\t" * (indent + 1)
    rows: list[str] = []
    for member in members:
        if rows and 4 * len(tabs) + len(rows[-1]) + len(member) + 2 <= _WIDTH:
            rows[-1] += f" {member},"
        else:
            rows.append(f"{member},")
    return "{\n" + "".join(f"{tabs}{row}\n" for row in rows) + "\t" * indent + "}"


def mapping(fields: Mapping[str, str], indent: int = 0) -> str:
    """Return an object literal; values are literals already. Over several lines where one would be too long."""
    members = [f"{text(name)}: {value}" for name, value in fields.items()]
    line = "{" + ", ".join(members) + "}"
    if "\n" not in line and len(line) + 4 * indent <= _WIDTH - 30:
        return line
    tabs = "\t" * (indent + 1)
    return "{\n" + "".join(f"{tabs}{member},\n" for member in members) + "\t" * indent + "}"


def rule(head: str, conditions: Sequence[str]) -> str:
    """Return a rule that holds where all conditions do."""
    if not conditions:
        return f"{head}\n"
    if len(conditions) == 1 and "\n" not in head and "#" not in conditions[0]:
        line = f"{head} if {conditions[0]}"
        if len(line) <= _WIDTH:
            return f"{line}\n"
    return f"{head} if {{\n" + "".join(f"\t{condition}\n" for condition in conditions) + "}\n"


def comment(*paragraphs: str) -> str:
    """Return paragraphs as comments. What a pack's author wrote stays inside: no line of it is left uncommented."""
    rows: list[str] = []
    for paragraph in paragraphs:
        words = " ".join(paragraph.split())
        rows += textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {row}.\n" if row == _ANNOTATION else f"# {row}\n" for row in rows)


def reference(name: str, *keys: str) -> str:
    """Return a rule's name with keys, each after a dot where it could be a variable's name and is no word of Rego."""
    return name + "".join(
        f".{key}" if _VARIABLE.fullmatch(key) and key not in _KEYWORDS else f"[{text(key)}]" for key in keys
    )


def within(window: tuple[int, int]) -> list[str]:
    """Return the conditions of a window, microseconds since 1970, each with its date; ±NEVER_US is no bound."""
    start_us, end_us = window
    found = []
    if start_us > -NEVER_US:
        found.append(f"request.now_us >= {start_us} # {dated(start_us)}")
    if end_us < NEVER_US:
        found.append(f"request.now_us < {end_us} # {dated(end_us)}")
    return found


def dated(at_us: int) -> str:
    """Return an instant in its canonical form, for people; a clock error may lead out of the calendar."""
    try:
        return format_instant(EPOCH + timedelta(microseconds=at_us))
    except OverflowError:
        return "beyond the calendar"
