"""Verification of a log, a stream or one segment: chain, sequence, completeness, profile, inputs.

It needs nothing but the files. What it cannot tell, every report says (`findings.CAVEAT`): without a checkpoint
held by somebody else, a log rewritten from end to end, or cut at the end of an epoch, verifies clean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from borderpost.audit import lock
from borderpost.audit.findings import Finding, Kind, Report, StreamFigures
from borderpost.audit.reader import stream_directories
from borderpost.audit.segment import INPUTS_NAME, first_seq_of, segments_of, streams_of
from borderpost.audit.stream_check import StreamCheck
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

Progress = Callable[[int, int], None]
"""Told how many bytes have been read, of how many."""


def verify(path: Path, progress: Progress | None = None) -> Report:
    """Verify an audit directory, one stream of it, or one segment file.

    Raises BorderpostError: BP0408 if the path is none of these, BP0003 if something in it cannot be read.
    """
    verification = _Verification(path, progress)
    try:
        if path.is_file() and first_seq_of(path) is not None:
            verification.one_segment(path)
        else:
            verification.streams(path)
    except OSError as error:
        raise BorderpostError("BP0003", str(error.strerror), place=Place(str(error.filename or path))) from error
    return verification.report


class _Verification:
    """One run: its report and how far it has come."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self.report = Report(str(path))
        self._path = path
        self._progress = progress
        self._done_bytes = 0
        self._total_bytes = 0
        self._inputs: dict[str, tuple[str, int, int]] = {}

    def one_segment(self, path: Path) -> None:
        """Check one file as far as it can be checked alone."""
        is_last = segments_of(path.parent)[-1] == path
        live = is_last and lock.is_held(path.parent)
        self._total_bytes = path.stat().st_size
        figures = StreamFigures(path.parent.name, live=live or not is_last)
        self.report.streams.append(figures)
        check = StreamCheck(figures, self._found, from_seq=first_seq_of(path) or 0)
        check.segment(path, is_last=is_last, progress=self._read)
        check.finish()
        figures.live = live
        if first_seq_of(path):
            self.report.notes.append("its first record was not compared with the segment before")
        if not is_last:
            self.report.notes.append("its last record was not compared with the segment after")
        self._inputs = check.inputs
        self._check_inputs(path.parent.parent / INPUTS_NAME, required=False)

    def streams(self, path: Path) -> None:
        """Check every stream under a path, or the path as a stream, and the inputs beside them."""
        directories = stream_directories(path)
        is_stream = directories == [path]
        if not is_stream:
            for empty in streams_of(path):
                if empty not in directories:
                    self._found(Finding(Kind.INCONSISTENT, "the stream holds no segment", str(empty)))
        plans = [(each, lock.is_held(each), segments_of(each)) for each in directories]
        self._total_bytes = sum(file.stat().st_size for _, _, segments in plans for file in segments)
        for directory, live, segments in plans:
            self._stream(directory, live, segments)
        audit_directory = path.parent if is_stream else path
        self._check_inputs(audit_directory / INPUTS_NAME, required=not is_stream)
        self.report.findings.sort(key=lambda finding: (finding.file, finding.line or 0))

    def _stream(self, directory: Path, live: bool, segments: list[Path]) -> None:
        figures = StreamFigures(directory.name, live=live)
        self.report.streams.append(figures)
        check = StreamCheck(figures, self._found)
        for file in segments:
            check.segment(file, is_last=file == segments[-1], progress=self._read)
        check.finish()
        for digest, place in check.inputs.items():
            self._inputs.setdefault(digest, place)

    def _check_inputs(self, directory: Path, *, required: bool) -> None:
        if self._inputs and not required and not directory.is_dir():
            self.report.notes.append(
                f"{len(self._inputs)} inputs were not checked: no {INPUTS_NAME}/ beside the stream"
            )
            return
        for digest, (file, line, seq) in sorted(self._inputs.items()):
            self.report.inputs_checked += 1
            stored = directory / "sha256" / digest.removeprefix("sha256:")
            if not stored.is_file():
                self._found(Finding(Kind.INPUT, f"{digest} is not in the store", file, line, seq))
                continue
            with stored.open("rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != stored.name:
                    self._found(Finding(Kind.INPUT, f"the stored bytes of {digest} are others", file, line, seq))

    def _found(self, finding: Finding) -> None:
        if len(self.report.findings) < limits.FINDINGS_MAX:
            self.report.findings.append(finding)
        else:
            self.report.unlisted += 1

    def _read(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        if self._progress is not None:
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)
