"""Limits files are found, read and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from borderpost_base import limits as bounds
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.yaml_source import YamlDocument, load_yaml_documents
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.files.compiling import compile_domains
from borderpost_ratelimit.files.descriptors import DomainFile
from borderpost_ratelimit.files.envoyproxy import read_envoyproxy
from borderpost_ratelimit.files.findings import look_over
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.files.typed import is_ours
from borderpost_ratelimit.files.typed_reading import read_typed
from borderpost_ratelimit.limits import WhenAway

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Source:
    """One file's name, as errors show it, and content."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """Files, and what is wrong with them."""

    book: Book
    """Of what is right in them; it must not be served where there are errors."""
    errors: tuple[BorderpostError, ...]


def load(
    paths: Sequence[Path],
    *,
    merge_domains: bool = False,
    key_style: KeyStyle = KeyStyle.LENGTHS,
    when_away: WhenAway = WhenAway.LOCAL,
) -> Book:
    """Read limits files, and folders of them, and compile them.

    `merge_domains` lets files add to one domain, as MERGE_DOMAIN_CONFIG does. `when_away` is for limits whose file does
    not say what holds while the store is away. Raises Problems with every mistake of every file, each with its place.
    """
    checked = check_files(paths, merge_domains=merge_domains, key_style=key_style, when_away=when_away)
    if checked.errors:
        raise Problems(list(checked.errors))
    return checked.book


def check_files(
    paths: Sequence[Path],
    *,
    merge_domains: bool = False,
    key_style: KeyStyle = KeyStyle.LENGTHS,
    when_away: WhenAway = WhenAway.LOCAL,
) -> Checked:
    """Do what `load` does, and return what is wrong beside what is right."""
    errors: list[BorderpostError] = []
    findings: list[BorderpostError] = []
    sources = read_sources(paths, errors, findings)
    book = compile_sources(
        sources, errors, findings, merge_domains=merge_domains, key_style=key_style, when_away=when_away
    )
    return Checked(book, tuple(errors[: bounds.PROBLEMS_MAX]))


def read_sources(paths: Sequence[Path], errors: list[BorderpostError], findings: list[BorderpostError]) -> list[Source]:
    """Return the files that the paths name, each once, a folder's in the order of their names."""
    sources = []
    seen: set[Path] = set()
    for path in paths:
        for file in _files(path, errors, findings):
            if file in seen:
                continue
            seen.add(file)
            try:
                with file.open("rb") as handle:
                    raw = handle.read(bounds.YAML_BYTES_MAX + 1)
            except OSError as error:
                errors.append(BorderpostError("BP0003", f"{file}: {error.strerror}", place=Place(str(file))))
                continue
            sources.append(Source(str(file), raw))
    return sources


def named_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that the paths name now, for a watch; a path where there is nothing stands for itself."""
    return [file for path in paths for file in _files(path, [], [])]


def _files(path: Path, errors: list[BorderpostError], findings: list[BorderpostError]) -> list[Path]:
    """Return a folder's limits files, those of folders below it among them; a file as it is.

    Names that begin with a dot are passed over: Kubernetes keeps the versions of a mounted ConfigMap in such.
    """
    if not path.is_dir():
        return [path]
    inside = sorted(item for item in path.rglob("*") if not _hidden(item.relative_to(path)) and item.is_file())
    found = [item for item in inside if item.suffix in SUFFIXES]
    for item in inside:
        if item.suffix not in SUFFIXES:
            detail = f"`{item.name}` ends neither in `.yaml` nor in `.yml`"
            findings.append(BorderpostError("BP1615", detail, place=Place(str(item))))
    if not found:
        errors.append(BorderpostError("BP1601", f"{path} holds no file that could be one", place=Place(str(path))))
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def compile_sources(
    sources: Sequence[Source],
    errors: list[BorderpostError],
    findings: list[BorderpostError],
    *,
    merge_domains: bool = False,
    key_style: KeyStyle = KeyStyle.LENGTHS,
    when_away: WhenAway = WhenAway.LOCAL,
) -> Book:
    """Compile files that have been read; `errors` takes every mistake, and the book then lacks what is mistaken."""
    files = [file for source in sources for file in _read(source, when_away, errors, findings)]
    domains = compile_domains(files, merge_domains=merge_domains, style=key_style, errors=errors)
    findings.extend(look_over(domains))
    content = b"".join(b"%d:%b" % (len(source.raw), source.raw) for source in sources)
    return Book(domains, key_style, tuple(source.name for source in sources), content, tuple(findings))


def _read(
    source: Source, when_away: WhenAway, errors: list[BorderpostError], findings: list[BorderpostError]
) -> list[DomainFile]:
    try:
        documents = load_yaml_documents(source.raw, source.name, keep_plain=True)
    except BorderpostError as error:
        errors.append(error)
        return []
    first = documents[0] if documents else YamlDocument(source.name, None)
    for other in documents[1:]:
        if other.data is not None:
            detail = "only the first YAML document of a file is read"
            findings.append(BorderpostError("BP1615", detail, place=other.place(())))
    if is_ours(first.data):
        ours = read_typed(first, when_away, errors)
        return [] if ours is None else [ours]
    file = read_envoyproxy(first, when_away, errors, findings)
    return [] if file is None else [file]
