"""The law for other engines: `borderpost policy export rego`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borderpost.cli.options import add_config, add_json, config_path, load
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.policy.events import EventList

_LOADED_BY_OPA: Final = (".rego", ".json", ".yaml", ".yml")
_CASES_DEFAULT: Final = 100


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Write the law as a Rego module with its data and its tests, which gives the gateway's answers in OPA and in
    Conftest: for admission control and gates in CI. Legal events are those of the file as it is now. Exit 1: with
    --check, the folder holds something else."""
    parser.add_argument("form", choices=("rego",), help="the language")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if DIR is not what would be written"
    )
    parser.add_argument(
        "--cases", type=_count, default=_CASES_DEFAULT, metavar="N",
        help=f"seeded questions in the tests, beside those around up to N dates (default: {_CASES_DEFAULT})",
    )  # fmt: skip
    parser.add_argument("--drills", action="store_true", help="let drills among the legal events count too")
    add_config(parser)
    add_json(parser)


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= limits.REGO_CASES_MAX:
        raise ValueError(text)
    return value


def run_export(arguments: argparse.Namespace, output: Output) -> int:
    """Export, or compare."""
    from borderpost.rego.export import export, source_of

    loaded = load(arguments)
    listed = _events(loaded, arguments)
    source = source_of(loaded.bundle, loaded.regions, listed, drills=arguments.drills)
    files = export(source, arguments.cases)
    out: Path = arguments.out
    strangers = _strangers(out, files)
    if strangers and not arguments.check:
        detail = f"`{strangers[0]}` is none of ours, and OPA would load it with the law"
        raise BorderpostError("BP1221", detail, place=Place(str(out)))
    differing = sorted([*(name for name, text in files.items() if _read(out / name) != text), *strangers])
    if not arguments.check:
        _write(out, {name: files[name] for name in differing})
    summary = {
        "out": str(out),
        "policy_digest": source.policy.bundle.digest,
        "events_digest": listed.digest,
        "files": sorted(files),
        "changed": differing,
    }
    if output.as_json:
        output.result(summary)
    elif arguments.check:
        output.data(f"{out}: {'differs in ' + ', '.join(differing) if differing else 'is this law'}")
    else:
        regimes, events = counted(len(source.policy.regimes), "regime"), counted(len(source.events.counted), "event")
        output.data(f"{out}: {regimes}, {events}, {counted(len(differing), 'file')} written")
        output.data(f"  policy   digest {source.policy.bundle.digest}")
        output.data(f"  events   digest {listed.digest}")
    return FINDINGS if arguments.check and differing else CLEAN


def _events(loaded: Loaded, arguments: argparse.Namespace) -> EventList:
    """Return the events to export, with the clock error that the configuration sets, 0 where it is the machine's."""
    from borderpost.policy.events import EventList

    section = loaded.config.events
    if section.redis is not None:
        detail = "the legal events are in `events.redis`; an export without them would allow more"
        raise BorderpostError("BP1220", detail, place=Place(str(config_path(arguments)), key="events.redis"))
    clock_error_us = 0 if section.clock_error_ms == "auto" else section.clock_error_ms * 1000
    return EventList(loaded.events.file.model_copy(update={"clock_error_us": clock_error_us}))


def _strangers(out: Path, files: dict[str, str]) -> list[str]:
    """Return the files in a folder that OPA would load and that are not ours; tests of one's own may be there."""
    if not out.is_dir():
        return []
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix in _LOADED_BY_OPA)
    return [name for name in found if name not in files and not name.endswith("_test.rego")]


def _read(path: Path) -> str | None:
    """Return a file's text; None if there is none, or it is no text."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write(out: Path, files: dict[str, str]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_bytes(text.encode())
    except OSError as error:
        raise BorderpostError("BP1262", str(error.strerror), place=Place(str(out))) from error
