"""YAML as people in a hurry write it: any quotes, any indentation, comments and blank lines anywhere."""

from __future__ import annotations

from random import Random
from typing import Any

import yaml

PIECES = [
    "a", "b: ", "c:", "- ", "-", "\n", "\n  ", "\n    ", "\n- ", "\n  - ", " # c", "# d\n", "[", "]", "{", "}", ", ",
    ",", ": ", "? ", "'x'", '"y"', "|\n   ", ">-\n   ", "1", "NO", "null", "\n\n", "  ", "é", "k: ", "\nk: ", "\nm:",
    "\n  n: ", "'", '"', "long word " * 20, "\t", "...", "---", "\n# e", "\n  # f", "]\n", "}\n", "\u2028", "\xa0",
]  # fmt: skip
"""What odd documents are made of."""


def write(data: Any, random: Random) -> str:
    """Return a text that says the data, in one of many ways."""
    if isinstance(data, (dict, list)) and data:
        lines = _block(data, 0, random)
    else:
        lines = [_flow(data, random)]
    return (
        random.choice(["", "# head\n\n", "---\n"]) + "\n".join(lines) + random.choice(["", "\n", "\n# end\n", "\n\n"])
    )


def _block(data: Any, indent: int, random: Random) -> list[str]:
    step = random.choice([1, 2, 2, 4])
    lines: list[str] = []
    entries = list(data.items()) if isinstance(data, dict) else [(None, item) for item in data]
    if isinstance(data, dict):
        random.shuffle(entries)
    for key, value in entries:
        lines += _noise(indent, random)
        start = " " * indent + ("-" if key is None else f"{_scalar(key, random)}:")
        if isinstance(value, (dict, list)) and value and random.random() < 0.6:
            inner = _block(value, indent + step, random)
            lines += [start + _beside(random), *inner]
        else:
            lines.append(f"{start} {_flow(value, random)}{_beside(random)}")
    return lines


def _noise(indent: int, random: Random) -> list[str]:
    odd = random.choice([indent, indent, 0, indent + 3])
    return random.choice([[], [], [], [""], [" " * odd + "# above"], ["", " " * odd + "# far: [above", "", ""]])


def _beside(random: Random) -> str:
    return random.choice(["", "", "", " # beside", "   # 'quoted' #twice"])


def _flow(value: Any, random: Random) -> str:
    comma = random.choice([", ", ",", " , "])
    if isinstance(value, dict):
        parts = [f"{_scalar(key, random)}: {_flow(inner, random)}" for key, inner in value.items()]
        return "{" + comma.join(parts) + "}"
    if isinstance(value, list):
        return "[" + comma.join(_flow(inner, random) for inner in value) + "]"
    return _scalar(value, random)


def _scalar(value: Any, random: Random) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return repr(value)
    style = "'" if random.random() < 0.3 and value.isprintable() else '"'
    return str(yaml.safe_dump(value, default_style=style, width=10**6, allow_unicode=random.random() < 0.5)).strip()
