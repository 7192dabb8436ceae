"""The check of one stream: a walk over its lines that says of each which rule it breaks, if any.

The rules, in the order they are tried. `tip` is the record with the highest number so far; a line belongs where
it stands if its `prev` is the tip's hash and its `seq` the tip's plus one.

    line is JSON with the common fields      else ALTERED: no writer of ours made it
    type and version are known               else UNKNOWN
    canonical bytes, fields of its schema    else PROFILE
    prev fits, seq does not                  ALTERED: its number was changed
    prev does not fit, seq does              ALTERED: the tip is not the line that this one was chained to
    seq is beyond the next                   MISSING what lies between (INCONSISTENT between two files)
    seq is one that was missing              REORDERED
    seq has been seen                        DUPLICATE: a copy, or a fork
    epoch, open, close and log name fit      else INCONSISTENT
    the end is `epoch.close`                 else UNCLOSED, or TORN without a newline; a live writer owes neither

Memory is bounded whatever the log holds: one tip, and a bounded list of what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from borderpost.audit import fields
from borderpost.audit.findings import Finding, Kind, StreamFigures
from borderpost.audit.forms import DIGEST
from borderpost.audit.profile import ProfileError, decode, encode
from borderpost.audit.record import NO_RECORD, digest_of
from borderpost.audit.segment import Line, first_seq_of, read_lines
from borderpost_base import limits

Found = Callable[[Finding], None]
Progress = Callable[[int], None]
"""Told the size in bytes of each stretch read."""

_PROGRESS_BYTES = 1 << 18


@dataclass(slots=True)
class _Tip:
    """The record with the highest number so far."""

    seq: int
    digest: str | None
    """None: not known, so that what follows cannot be compared with it."""
    file: str = ""
    line: int = 0


@dataclass(slots=True)
class _Missing:
    """Consecutive numbers not seen yet."""

    first: int
    last: int
    finding: Finding


class StreamCheck:
    """Checks the segments of one stream, handed over in order."""

    def __init__(self, figures: StreamFigures, found: Found, *, from_seq: int = 0) -> None:
        self.figures = figures
        self.inputs: dict[str, tuple[str, int, int]] = {}
        """Digest of each input named, and the first place (file, line, seq) that names it."""
        self._found = found
        self._tip = _Tip(from_seq - 1, NO_RECORD.digest if from_seq == 0 else None)
        self._missing: list[_Missing] = []
        self._log: str | None = None
        self._epoch: str | None = None
        self._epoch_first_seq: int | None = None
        self._closed = False
        self._whole_start = from_seq == 0
        self._torn: Line | None = None
        self._file = ""

    def segment(self, path: Path, *, is_last: bool, progress: Progress) -> None:
        """Check one file."""
        self._file = str(path)
        self.figures.segments += 1
        size = told = 0
        first = True
        for line in read_lines(path):
            size = line.offset + len(line.data) + line.ended
            if size - told >= _PROGRESS_BYTES:
                progress(size - told)
                told = size
            if not line.ended:
                self._no_end(line, is_last)
                break
            self._line(line, first_of_file=first, promised=first_seq_of(path))
            first = False
        progress(size - told)
        self.figures.size_bytes += size
        if first and self._torn is None and not (is_last and self.figures.live):
            self._say(Kind.INCONSISTENT, "the segment holds no record")

    def finish(self) -> None:
        """Say what only the end of the stream tells."""
        for gone in self._missing:
            self._found(gone.finding)
        tip = self._tip
        if self.figures.records:
            self.figures.head, self.figures.last_seq = tip.digest, tip.seq
        if self.figures.live:
            return
        if self._torn is not None:
            what = f"the last line ends after {len(self._torn.data)} bytes without a newline"
            self._say(Kind.TORN, what, self._torn.number)
        elif self.figures.records and not self._closed:
            what = "the last record is no `epoch.close`, and no process writes the stream"
            self._found(Finding(Kind.UNCLOSED, what, tip.file, tip.line, tip.seq))

    def _no_end(self, line: Line, is_last: bool) -> None:
        if is_last:
            self._torn = line
        else:
            self._say(Kind.ALTERED, "the last line has no newline, and a further segment follows", line.number)
            self._tip.digest = None

    def _line(self, line: Line, *, first_of_file: bool, promised: int | None) -> None:
        self.figures.records += 1
        record = self._parse(line)
        if record is None:
            # It stands for the record that was due here, so that the next one is not called missing too.
            self._tip = _Tip(self._tip.seq + 1, None, self._file, line.number)
            return
        if first_of_file and promised is not None and record["seq"] != promised:
            what = f"the file's name promises record {promised}, the first line is record {record['seq']}"
            self._say(Kind.INCONSISTENT, what, line.number, record["seq"])
        if self._in_order(line, record, first_of_file):
            self._epochs(line, record)
        self._count(line, record)

    def _parse(self, line: Line) -> dict[str, Any] | None:
        """Return the record if it can be placed in the chain, having said what is wrong with it."""
        try:
            if len(line.data) > limits.RECORD_BYTES_MAX:
                raise ProfileError("is longer than a record may be")
            record = decode(line.data)
            _check_placeable(record)
        except ProfileError as error:
            self._say(Kind.ALTERED, f"the line is no record: {error}", line.number)
            return None
        known: dict[str, Any] = record
        if known.get("v") != fields.VERSION or known.get("type") not in fields.RECORD_TYPES:
            what = f"type {known.get('type')!r:.60}, version {known.get('v')!r:.20}"
            self._say(Kind.UNKNOWN, what, line.number, known["seq"])
            return known
        try:
            fields.check_record(known)
            if encode(known) != line.data:
                raise ProfileError("the bytes are not the canonical form of their content")
        except ProfileError as error:
            self._say(Kind.PROFILE, str(error), line.number, known["seq"])
        return known

    def _in_order(self, line: Line, record: dict[str, Any], first_of_file: bool) -> bool:
        """Compare a record with the tip; True if it becomes the tip."""
        tip, seq = self._tip, record["seq"]
        due = tip.seq + 1
        linked = tip.digest is not None and record["prev"] == tip.digest
        if seq != due and linked:
            what = f"the record is chained to record {tip.seq} but calls itself {seq}"
            self._say(Kind.ALTERED, what, line.number, seq)
            seq = due
        elif seq < due:
            self._seen_or_late(line, seq)
            return False
        elif seq > due:
            self._note_missing(due, seq - 1, line, first_of_file)
        elif not linked and tip.digest is not None:
            self._broken_link(line, seq)
        self._tip = _Tip(seq, digest_of(line.data), self._file, line.number)
        return True

    def _broken_link(self, line: Line, seq: int) -> None:
        tip = self._tip
        if tip.seq < 0:
            self._say(Kind.ALTERED, "the first record is chained to something", line.number, seq)
            return
        what = f"record {seq} is chained to another line than this one: either was altered"
        self._found(Finding(Kind.ALTERED, what, tip.file, tip.line, tip.seq))

    def _note_missing(self, first: int, last: int, line: Line, first_of_file: bool) -> None:
        numbers = f"record {first}" if first == last else f"records {first} to {last}"
        if first_of_file:
            before = "the first segments are" if self._tip.seq < 0 else "a segment, or the end of the one before, is"
            what, kind = f"{numbers}: {before} missing before this file", Kind.INCONSISTENT
        else:
            what, kind = f"{numbers} should stand before this line", Kind.MISSING
        finding = Finding(kind, what, self._file, line.number, first)
        self._missing.append(_Missing(first, last, finding))
        if len(self._missing) > limits.FINDINGS_MAX:
            self._found(self._missing.pop(0).finding)

    def _seen_or_late(self, line: Line, seq: int) -> None:
        for index, gone in enumerate(self._missing):
            if gone.first <= seq <= gone.last:
                parts = [
                    _Missing(first, last, gone.finding)
                    for first, last in ((gone.first, seq - 1), (seq + 1, gone.last))
                    if first <= last
                ]
                self._missing[index : index + 1] = parts
                what = f"record {seq} stands after record {self._tip.seq}"
                self._say(Kind.REORDERED, what, line.number, seq)
                return
        self._say(Kind.DUPLICATE, f"record {seq} has been seen before this line", line.number, seq)

    def _epochs(self, line: Line, record: dict[str, Any]) -> None:
        """Check that epochs open and close in pairs, and that everything names the same log."""
        log, epoch = record.get("log"), record.get("epoch")
        if self._log is None:
            self._log = log
        elif log != self._log:
            self._say(Kind.INCONSISTENT, f"the record is of log {log!r:.80}", line.number, record["seq"])
        kind = record.get("type")
        if kind == "epoch.open":
            self._opens(line, record)
            return
        if self._epoch is None:
            if self._whole_start:
                self._say(Kind.INCONSISTENT, "the stream does not begin with `epoch.open`", line.number, record["seq"])
            self._epoch = epoch
        elif epoch != self._epoch:
            self._say(Kind.INCONSISTENT, f"epoch {epoch!r:.40} was never opened", line.number, record["seq"])
            self._epoch = epoch
        elif self._closed:
            self._say(Kind.INCONSISTENT, "a record follows the end of its epoch", line.number, record["seq"])
        self._closed = kind == "epoch.close"
        if self._closed:
            self._closes(line, record)

    def _opens(self, line: Line, record: dict[str, Any]) -> None:
        previous = record.get("previous")
        if self._epoch is not None or self._whole_start:
            told = None
            if isinstance(previous, dict):
                told = (previous.get("epoch"), previous.get("end"), previous.get("seq"))
            due = None
            if self._epoch is not None:
                due = (self._epoch, "clean" if self._closed else "unclean", record["seq"] - 1)
            if told != due:
                what = f"the epoch says that {_told(told)} came before it, and {_told(due)} did"
                self._say(Kind.INCONSISTENT, what, line.number, record["seq"])
        if isinstance(previous, dict):
            if previous.get("head") != record["prev"]:
                self._say(Kind.INCONSISTENT, "the epoch names another head than it follows", line.number, record["seq"])
            self.figures.unclean_epochs += previous.get("end") == "unclean"
        self.figures.epochs += 1
        self._epoch = record.get("epoch")
        self._epoch_first_seq = record["seq"]
        self._closed = False

    def _closes(self, line: Line, record: dict[str, Any]) -> None:
        if self._epoch_first_seq is None:
            return
        due = record["seq"] - self._epoch_first_seq + 1
        if record.get("records") != due:
            what = f"the epoch counts {record.get('records')!r:.20} records, its numbers make {due}"
            self._say(Kind.INCONSISTENT, what, line.number, record["seq"])

    def _count(self, line: Line, record: dict[str, Any]) -> None:
        figures = self.figures
        match record.get("type"):
            case "decision" if record.get("mode") == "observe":
                figures.observed += 1
            case "decision":
                figures.decisions += 1
                out = record.get("out")
                action = out.get("action") if isinstance(out, dict) else None
                figures.routed += action == "route"
                figures.refused += action == "refuse"
            case "limit.refuse":
                figures.limited += 1
            case "limit.refusals":
                count = record.get("count")
                figures.limited += count if type(count) is int else 0
            case "gap":
                figures.gaps += 1
            case "recovery":
                figures.recoveries += 1
        try:
            for digest in fields.named_inputs(record):
                if digest not in self.inputs:
                    DIGEST.check(digest)
                    self.inputs[digest] = (self._file, line.number, record["seq"])
        except (ProfileError, LookupError, AttributeError, TypeError):
            return  # outside its schema, which has been said

    def _say(self, kind: Kind, what: str, line: int | None = None, seq: int | None = None) -> None:
        self._found(Finding(kind, what, self._file, line, seq))


def _told(epoch: tuple[Any, Any, Any] | None) -> str:
    return "none" if epoch is None else f"epoch {epoch[0]} ({epoch[1]} end, record {epoch[2]})"


def _check_placeable(record: Any) -> None:
    """Raise ProfileError unless a value has what places it in a chain."""
    if type(record) is not dict:
        raise ProfileError("is not an object")
    for name in ("seq", "prev"):
        kind = fields.COMMON.by_name[name].kind
        try:
            kind.check(record.get(name))
        except ProfileError as error:
            raise error.within(name) from None
