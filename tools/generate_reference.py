"""Make the pages of docs/reference from the registries and models that the code itself uses."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from borderpost.audit.fields import COMMON, RECORD_TYPES, RESERVED_TYPES
from borderpost.audit.kinds import Field, Kind, ListOf, Shape
from borderpost.cli.main import COMMANDS, build_command
from borderpost.config.keys import ConfigKey, config_keys
from borderpost.config.model import Config
from borderpost.manifests.clouds import known_clouds
from borderpost.manifests.labels import LABELS, PREFIX_DEFAULT
from borderpost.manifests.rules import RULES
from borderpost_base.errors import ERRORS
from borderpost_base.limits import LIMITS
from borderpost_base.metrics import METRICS
from borderpost_base.variables import VARIABLES

FOLDER = Path("docs/reference")
NOTE = "<!-- Made by `make generate`; edit what it is made from instead. -->"
"""First line of a page that is made as a whole."""

_INTRODUCTIONS = {
    "Configuration": """
One YAML file, by the rules of YAML 1.2 (`NO` is Norway). A key that is not listed here is an error with its line. Only
`here` and `regions` are required. Relative paths start at the file's folder. `<name>` is a name that you choose, `[]`
an item of a list. Flags (`--set KEY=VALUE`) win over [variables](variables.md), variables over the file.
""",
    "Errors": """
`borderpost help CODE` prints any of them. A code is never used for something else.
""",
    "Metrics": """
Served by the steward at `/metrics` of the admin address. Counts of the workers are added up and outlive a worker; a
gauge of several workers becomes one value as the table says. Each label has a bounded number of values; what comes
after counts as `other`.
""",
    "Limits": """
Bounds that are not configuration: beyond them a value is refused, never cut short.
""",
    "Environment variables": """
Flags win over variables, variables over the file. Every configuration key has a variable: `BORDERPOST_` and the key
in capitals, levels parted by two underscores. In names of your own (regions, tenants) write `-` and `.` as `_`; a
variable changes such an entry and does not add one. Values are read as YAML. A variable with the prefix that fits
nothing is error BP0107.
""",
    "Records": """
Each line of the audit log is one record: canonical JSON (RFC 8785) in a closed schema. A field without a source is
left out. Fields marked * are always there.
""",
    "Manifests": """
What `borderpost policy check` finds, which labels it reads, and what it knows of clouds. [The
guide](../guide/manifests.md) shows it by example.
""",
    "Commands": """
Exit codes: 0 clean, 1 findings, 2 could not run; `verify` tells the kind of finding by 10 to 19. Data goes to stdout,
all else to stderr.
""",
}
"""What stands under each page's title."""

AREAS = {
    "00": "Command line",
    "01": "Configuration",
    "02": "Policy",
    "03": "GeoIP and facts",
    "04": "Audit log",
    "05": "Server",
    "06": "Processes",
    "07": "Regions",
    "08": "Answers to callers",
    "09": "Rendering and demo",
    "10": "The signed list of legal events",
    "11": "Counters",
    "12": "Proof before traffic",
    "13": "Payload",
    "14": "Istio, Envoy Gateway and Kubernetes",
    "15": "Doctor",
    "16": "Rate limits",
}


def generate(root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}; `root` is not looked at."""
    pages: dict[str, Callable[[], list[str]]] = {
        "configuration": _configuration,
        "errors": _errors,
        "metrics": _metrics,
        "limits": _limits,
        "variables": _variables,
        "records": _records,
        "cli": _cli,
        "manifests": _manifests,
    }
    return {FOLDER / f"{name}.md": "\n".join([NOTE, "", *make(), ""]).encode() for name, make in pages.items()}


def _begin(title: str) -> list[str]:
    return [f"# {title}", "", *_INTRODUCTIONS[title].strip().splitlines(), ""]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, an empty one at the end."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return [*lines, *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows), ""]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split()) or " "


def _errors() -> list[str]:
    lines = _begin("Errors")
    for area, title in AREAS.items():
        inside = [spec for spec in ERRORS.values() if spec.code[2:4] == area]
        lines += [f"# {title}", ""] if inside else []
        for spec in inside:
            lines += [f"## {spec.code}", "", f"**{spec.title}.** {spec.cause}", "", f"*Mend:* {spec.mend}", ""]
    return lines[:-1]


def _metrics() -> list[str]:
    lines = _begin("Metrics")
    rows = []
    for spec in METRICS.values():
        joined = spec.merge if spec.kind == "gauge" and spec.owner != "steward" else ""
        rows.append((f"`{spec.name}`", spec.kind, ", ".join(f"`{x}`" for x in spec.labels), joined, spec.help))
    return [*lines, *table(("Name", "Kind", "Labels", "Workers joined by", "Meaning"), rows)][:-1]


def _limits() -> list[str]:
    rows = [(f"`{x.name}`", f"{x.value:,}", x.unit, x.reason) for x in LIMITS.values()]
    lines = _begin("Limits")
    return [*lines, *table(("Name", "Value", "Unit", "Reason"), rows)][:-1]


def _variables() -> list[str]:
    lines = _begin("Environment variables")
    rows = [
        (f"`{key.variable}`", f"`{key.dotted}`", key.kind)
        for key in config_keys(Config)
        if key.variable is not None and not key.kind.startswith("mapping")
    ]
    lines += table(("Variable", "Key", "Value"), rows)
    lines += [
        "Besides:",
        "",
        *table(("Variable", "Meaning"), [(f"`{x.name}`", x.meaning) for x in VARIABLES.values()]),
    ]
    return lines[:-1]


def _configuration() -> list[str]:
    lines = _begin("Configuration")
    for key in config_keys(Config):
        if len(key.path) == 1:
            lines += [f"## `{key.dotted}`", "", key.description, "", *_keys_of(key.path[0]), ""]
    return lines[:-1]


def _keys_of(section: str) -> list[str]:
    inside = [key for key in config_keys(Config) if key.path[0] == section and len(key.path) > 1]
    return [f"- **`{key.dotted}`** ({_facts(key)}). {key.description}".rstrip() for key in inside]


def _facts(key: ConfigKey) -> str:
    if key.required:
        return f"{key.kind}, required"
    return f"{key.kind}, default `{key.default}`" if key.default is not None else key.kind


def _records() -> list[str]:
    lines = [*_begin("Records"), "## Every record", "", *_fields(COMMON)]
    for record in RECORD_TYPES.values():
        lines += [f"## `{record.name}`", "", record.about, "", *_fields(record.shape)]
    lines += [f"Reserved for later: {', '.join(f'`{name}`' for name in sorted(RESERVED_TYPES))}."]
    return lines


def _fields(shape: Shape) -> list[str]:
    rows = [
        (f"`{name}`{'*' if field.required else ''}", field.kind.describe(), field.about) for name, field in _flat(shape)
    ]
    return table(("Field", "Value", "Meaning"), rows)


def _flat(shape: Shape, prefix: str = "") -> Iterable[tuple[str, Field]]:
    """Yield the fields of a shape and of the shapes in it, with dotted names."""
    for field in shape.fields:
        name = prefix + field.name
        yield name, field
        inner: Kind = field.kind
        suffix = "."
        if isinstance(inner, ListOf):
            inner, suffix = inner.kind, "[]."
        if isinstance(inner, Shape):
            yield from _flat(inner, name + suffix)


def _manifests() -> list[str]:
    lines = [*_begin("Manifests"), "## Rules", ""]
    for rule in RULES.values():
        lines += [f"### {rule.id}", "", f"**{rule.title}** ({rule.level}). {rule.why}", "", f"*Mend:* {rule.mend}", ""]
    lines += ["## Labels", "", f"Keys begin with `{PREFIX_DEFAULT}`, or what `--label-prefix` says.", ""]
    lines += table(("Key", "Meaning"), [(f"`{PREFIX_DEFAULT}{name}`", text) for name, text in LABELS.items()])
    lines += ["## Clouds", "", "Facts about providers' regions, from their own pages. What is not here is unknown.", ""]
    for name, cloud in known_clouds().clouds.items():
        lines += [
            f"### `{name}`",
            "",
            f"Run by {cloud.entity} ({cloud.jurisdiction}). Source: <{cloud.source}>, read {cloud.as_of}.",
            "",
            *table(("Region", "Place"), [(f"`{region}`", code) for region, code in cloud.regions.items()]),
        ]
        areas = [(f"`{area}`", ", ".join(codes) or "anywhere") for area, codes in cloud.areas.items()]
        lines += table(("Area", "Any of"), areas) if areas else []
        pairs = [(f"`{region}`", f"`{pair}`") for region, pair in cloud.pairs.items()]
        lines += table(("Geo-redundant storage in", "copies to"), pairs) if pairs else []
    named = ", ".join(f"`{host}`" for host in known_clouds().endpoints)
    lines += ["### Endpoints of models whose names tell no place", "", f"{named}."]
    return lines


def _cli() -> list[str]:
    """Tell the commands from their parsers; argparse's own layout differs between versions of Python."""
    lines = _begin("Commands")
    for name in COMMANDS:
        parser, command = build_command(name)
        lines += _command(f"borderpost {name}", parser, command.__doc__ or "", "##")
        for action in parser._actions:
            for inner, its_parser in _parsers_below(action).items():
                lines += _command(f"borderpost {name} {inner}", its_parser, its_parser.description or "", "###")
    return lines[:-1]


def _command(words: str, parser: argparse.ArgumentParser, about: str, level: str) -> list[str]:
    """Tell one command, or one action of a command that has several."""
    positional = [_word(action) for action in parser._actions if not action.option_strings]
    lines = [f"{level} `{' '.join([words, *positional])}`", "", *inspect.cleandoc(about).splitlines(), ""]
    told = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    options = [_option(action) for action in told if not _parsers_below(action)]
    return [*lines, *options, ""] if options else lines


def _parsers_below(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """Return the actions of a command by name; empty for an argument that is no choice of action."""
    return dict(action.choices) if isinstance(action, argparse._SubParsersAction) else {}


def _option(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _word(action)
    names = [f"{option} {value}".rstrip() for option in action.option_strings] or [value]
    told = " ".join((action.help or "").split())
    if action.choices is not None:
        told += f" ({', '.join(f'`{choice}`' for choice in action.choices)})"
    return f"- {', '.join(f'`{name}`' for name in names)}: {told}"


def _word(action: argparse.Action) -> str:
    """Return what stands for an argument's value."""
    metavar = action.metavar
    word = " ".join(metavar) if isinstance(metavar, tuple) else metavar or action.dest.upper()
    return f"[{word}]" if action.nargs == "?" and not action.option_strings else word
