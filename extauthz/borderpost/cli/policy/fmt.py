"""One form for every file: `borderpost policy fmt`."""

from __future__ import annotations

import argparse
import difflib
import sys
from dataclasses import dataclass
from pathlib import Path

from borderpost.cli.file_kinds import KINDS, kind_of
from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, errors_of
from borderpost.cli.written import replace_file
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place, Problems

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Laid:
    """A file before and after."""

    file: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Return True if the file is not in its one form."""
        return self.before != self.after


def configure_fmt(parser: argparse.ArgumentParser) -> None:
    """Lay files out in one form: keys in the order of the reference, two spaces a level, lines of 120 columns, quotes
    where another reader of YAML would see no text (`NO`), comments where they belong. What a file says stays the same,
    down to the digest of its policy; that is checked before anything is written, by reading the result. Exit 0: laid
    out. 1: --check or --diff found files that are not. 2: a file could not be read or written."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML files of Borderpost, or - for stdin to stdout")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not laid out")
    parser.add_argument("--diff", action="store_true", help="write nothing; print what would change, and exit 1 if any")
    parser.add_argument(
        "--of", choices=tuple(KINDS), metavar="KIND",
        help=f"what the files are: {', '.join(KINDS)} (default: what each says; the order of keys depends on it)",
    )  # fmt: skip
    parser.add_argument(
        "--sort-codes", action="store_true",
        help="also sort the codes of groups, which changes the digest of the policy, though not the law",
    )  # fmt: skip
    add_json(parser)


def run_fmt(arguments: argparse.Namespace, output: Output) -> int:
    """Lay out each file; what cannot be read keeps none of the others."""
    writes = not (arguments.check or arguments.diff)
    files: list[str] = list(dict.fromkeys(arguments.files))
    if STDIN in files and (len(files) > 1 or output.as_json):
        raise BorderpostError("BP0004", "`-` stands alone, and without --json", place=Place("FILE"))
    laid: list[Laid] = []
    errors: list[BorderpostError] = []
    for file in files:
        try:
            one = _laid(file, arguments.of, sort=arguments.sort_codes)
            if writes and one.changed and file != STDIN:
                replace_file(Path(file), one.after)
            laid.append(one)
        except (BorderpostError, Problems) as error:
            errors += errors_of(error)
    return _tell(laid, errors, arguments, output)


def _laid(file: str, kind: str | None, *, sort: bool) -> Laid:
    """Return one file before and after. Raises BorderpostError."""
    from borderpost.yaml_layout.formatting import formatted
    from borderpost_base.yaml_source import load_yaml

    raw = _read(file)
    name = "stdin" if file == STDIN else file
    of = kind or kind_of(load_yaml(raw, name).data)
    if of is None:
        detail = "it does not say that it is a file of Borderpost"
        mend = f"leave the file out, or say what it is by --of: {', '.join(KINDS)}"
        raise BorderpostError("BP1260", detail, place=Place(name), mend=mend)
    after = formatted(raw, name, KINDS[of].bare(), sort=sort)
    return Laid(name, raw.decode("utf-8"), after)


def _read(file: str) -> bytes:
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(limits.YAML_BYTES_MAX + 1)
        with Path(file).open("rb") as handle:
            return handle.read(limits.YAML_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError("BP0003", f"{file}: {error.strerror}", place=Place(file)) from error


def _tell(laid: list[Laid], errors: list[BorderpostError], arguments: argparse.Namespace, output: Output) -> int:
    looks = arguments.check or arguments.diff
    changed = [one for one in laid if one.changed]
    if output.as_json:
        output.result({
            "files": [{"file": one.file, "changed": one.changed} for one in laid],
            "written": not looks,
            "errors": [error.as_dict() for error in errors],
        })  # fmt: skip
    else:
        output.errors(errors)
        if arguments.diff:
            for one in changed:
                _tell_diff(one, output)
        elif arguments.files == [STDIN] and not looks:
            output.stdout.write("".join(one.after for one in laid))
        else:
            for one in changed:
                output.data(f"{one.file}: {'not laid out' if looks else 'laid out'}")
    if errors:
        return COULD_NOT_RUN
    return FINDINGS if looks and changed else CLEAN


def _tell_diff(one: Laid, output: Output) -> None:
    before, after = one.before.splitlines(keepends=True), one.after.splitlines(keepends=True)
    colours = {"+": "green", "-": "red"}
    for line in difflib.unified_diff(before, after, one.file, f"{one.file} (laid out)"):
        colour = colours.get(line[0])
        text = line.rstrip("\n")
        output.data(output.paint(text, colour, stream=output.stdout) if colour else text)
