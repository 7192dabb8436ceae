"""What a rate-limit service was asked and what it answered, as values, as messages, and as lines of a recorded corpus.

A corpus is a folder with one file for each run of envoyproxy/ratelimit: JSON lines, the first of them the header.

    {"program": …, "settings": {…}, "files": {name: text}, "counters": {name: count}}
    [[now_s, domain, [[entries, limit, hits], …], hits],
     [code, [[code, limit, remaining, reset_s], …], headers, metadata]]        in one line
    [[…], "error"]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict

from borderpost_proto import rate_limit_pb2

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


class Descriptor(NamedTuple):
    """What one request is counted by."""

    entries: tuple[tuple[str, str], ...]
    limit: tuple[int, int] | None = None
    """Amount and unit of a limit that the request brings itself."""
    hits: int | None = None


class Asked(NamedTuple):
    """One request, and the second at which it comes."""

    now_s: int
    domain: str
    descriptors: tuple[Descriptor, ...]
    hits: int = 0


class Status(NamedTuple):
    """What became of one descriptor."""

    code: int
    limit: tuple[int, int, str] | None
    """Amount, unit and name; None where nothing limits it."""
    remaining: int
    reset_s: float | None


class Answer(NamedTuple):
    """What was answered; `error` alone is set where the call failed."""

    code: int = 0
    statuses: tuple[Status, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, Any] | None = None
    error: str | None = None
    """The name of the gRPC status."""


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the program: its settings from the environment, its limits files, and who asks what."""

    settings: Mapping[str, str]
    files: Mapping[str, str]
    asked: Sequence[Asked]


@dataclass(frozen=True, slots=True)
class Recording:
    """A run and what came of it."""

    program: str
    """The program that answered, with its version."""
    run: Run
    answers: Sequence[Answer]
    counters: Mapping[str, int] = field(default_factory=dict)
    """Its counters at the end, by their names; those of zero are left out."""


def message_of(asked: Asked) -> bytes:
    """Return the request as Envoy would send it."""
    request = rate_limit_pb2.RateLimitRequest(domain=asked.domain, hits_addend=asked.hits)
    for one in asked.descriptors:
        descriptor = request.descriptors.add()
        for key, value in one.entries:
            descriptor.entries.add(key=key, value=value.encode())
        if one.limit is not None:
            amount, unit = one.limit
            descriptor.limit.requests_per_unit = amount
            descriptor.limit.unit = rate_limit_pb2.RateLimitUnit.ValueType(unit)
        if one.hits is not None:
            descriptor.hits_addend.value = one.hits
    return request.SerializeToString()


def answer_of(message: bytes) -> Answer:
    """Read an answer."""
    read = rate_limit_pb2.RateLimitResponse.FromString(message)
    return Answer(
        read.overall_code,
        tuple(_status(one) for one in read.statuses),
        tuple((one.key, one.value or one.raw_value.decode()) for one in read.response_headers_to_add),
        MessageToDict(read.dynamic_metadata) if read.HasField("dynamic_metadata") else None,
    )


def _status(read: rate_limit_pb2.RateLimitResponse.DescriptorStatus) -> Status:
    limit = read.current_limit
    reset = read.duration_until_reset
    return Status(
        read.code,
        (limit.requests_per_unit, limit.unit, limit.name) if read.HasField("current_limit") else None,
        read.limit_remaining,
        reset.seconds + reset.nanos / 1e9 if read.HasField("duration_until_reset") else None,
    )


def write(recording: Recording, path: Path) -> None:
    """Write a recording, one line a request."""
    run = recording.run
    header = {
        "program": recording.program, "settings": run.settings, "files": run.files, "counters": recording.counters,
    }  # fmt: skip
    lines = [json.dumps(header, ensure_ascii=False, sort_keys=True)]
    lines += [
        json.dumps([asked, one.error or one[:4]], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        for asked, one in zip(run.asked, recording.answers, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Recording:
    """Read a recording. Raises ValueError for a file that is none."""
    first, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    header = json.loads(first)
    rows = [json.loads(line) for line in lines]
    run = Run(header["settings"], header["files"], [_asked(row[0]) for row in rows])
    return Recording(header["program"], run, [_answer(row[1]) for row in rows], header["counters"])


def _asked(row: Sequence[Any]) -> Asked:
    now_s, domain, descriptors, hits = row
    return Asked(now_s, domain, tuple(_descriptor(*one) for one in descriptors), hits)


def _descriptor(entries: Sequence[Sequence[str]], limit: Sequence[int] | None, hits: int | None) -> Descriptor:
    told = None if limit is None else (limit[0], limit[1])
    return Descriptor(tuple((key, value) for key, value in entries), told, hits)


def _answer(row: Any) -> Answer:
    if isinstance(row, str):
        return Answer(error=row)
    code, statuses, headers, metadata = row
    return Answer(
        code,
        tuple(Status(one[0], None if one[1] is None else (*one[1],), one[2], one[3]) for one in statuses),
        tuple((key, value) for key, value in headers),
        metadata,
    )
