"""How a text is written: plain where every reader takes it for that text, else in quotes; long ones folded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from borderpost_base.yaml_source import resolved_scalar

WIDTH: Final = 120
"""Columns of a line, as in the packs; comments may be longer."""

_OTHERS: Final = re.compile(
    r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|=|<<"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[-+]?(0b[01_]+|0o[0-7]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*)"
)
"""What readers of YAML 1.1 take for something else than text (yaml.org/type): `NO`, `12:30`, `1_000`. Days are left as
they are: their text is the same in both."""

_PLAIN_START: Final = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`]|-[^\s,\[\]{}]")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[-+][0-9:]+)")
_SPACE: Final = re.compile(r"(?<! ) (?! )")
"""A space at which a line may be folded: one between two spaces would not come back as one."""

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def inline(text: str, *, flow: bool) -> str:
    """Return a text on one line; `flow` where it stands in brackets."""
    return text if _is_plain(text, flow) else quoted(text)


def inline_value(text: str, style: str | None, *, flow: bool) -> str:
    """Return a scalar on one line; what is no text (numbers, booleans, null) keeps what it is."""
    if style is None and not isinstance(resolved_scalar(text), str):
        value = resolved_scalar(text)
        if value is None:
            return "null"
        return str(value).lower() if isinstance(value, bool) else text
    return inline(text, flow=flow)


def quoted(text: str) -> str:
    """Return a text in quotes: double ones, single ones where those need no escapes."""
    if _is_shown(text) and ('"' in text or "\\" in text) and "'" not in text:
        return f"'{text}'"
    return '"' + "".join(_ESCAPES.get(one) or (one if _is_shown(one) else _escaped(one)) for one in text) + '"'


def block(text: str, style: str | None, room: int) -> tuple[str, list[str]] | None:
    """Return the header (`|`, `>-`, …) and the lines of a text that is better not written on one line, else None.

    `room` is how many columns a line has. Long lines are folded between words; texts of several lines stay so.
    """
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    if not body or ends > 1 or text[0] in " \t\n" or not _is_shown(body.replace("\n", "").replace("\t", "")):
        return None
    lines = body.split("\n")
    if any(not line.strip() and line for line in lines):
        return None
    chomping = "" if ends else "-"
    if "\n" not in text:
        return (">-", _filled(body, room)) if _folds(body) else None
    if style in ("'", '"'):
        return None
    if style == ">" and all(_folds(line) or not line for line in lines):
        return ">" + chomping, _paragraphs(lines, room)
    return "|" + chomping, lines


def _is_plain(text: str, flow: bool) -> bool:
    if not text or text != text.strip() or not _is_shown(text) or not _PLAIN_START.match(text):
        return False
    if _OTHERS.fullmatch(text) or text.startswith(("---", "...")) or not isinstance(resolved_scalar(text), str):
        return False
    if ": " in text or " #" in text or text.endswith(":"):
        return False
    return not flow or not (re.search(r"[,\[\]{}]", text) or (":" in text and not _INSTANT.fullmatch(text)))


def _is_shown(text: str) -> bool:
    """Return True if every character can stand for itself: it is visible or a space, and ends no line."""
    return text.isprintable() or all(one.isprintable() or unicodedata.category(one) == "Zs" for one in text)


def _escaped(one: str) -> str:
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _folds(line: str) -> bool:
    """Return True if a line comes back as it is when it is folded."""
    return line == line.strip() and "\t" not in line and _is_shown(line)


def _filled(line: str, room: int) -> list[str]:
    return fill(_SPACE.split(line), room, " ")


def _paragraphs(lines: list[str], room: int) -> list[str]:
    """Return the lines of a folded text: one more empty line where it has a line's end."""
    written: list[str] = []
    for number, line in enumerate(lines):
        if number and line:
            written.append("")
        written += _filled(line, room) if line else [""]
    return written


def fill(parts: Iterable[str], room: int, between: str) -> list[str]:
    """Join parts to lines of at most `room` columns, where a part is not longer by itself."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= room:
            lines[-1] += between + part
        else:
            lines.append(part)
    return lines
