"""Traffic as a file: requests in a person's words with how many there are of each, and what is known of workloads.

    apiVersion: residency/v1
    kind: Traffic
    workloads: {triage: {criticality: 5}}
    capacity_per_s: {eu-central-1: 40}
    requests:
      - {workload: triage, country: DE, classes: [health], tenant: clinic, per_s: 12}
      - {country: FR, per_s: 3}

The same as JSON lines (`.jsonl`): one request a line; the first line may be the rest of the file (`{"kind": "Traffic",
…}`). Every line has a `count`, or every line a rate (`per_s`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, model_validator

from borderpost.policy import check
from borderpost.policy.fields import Identifier, Text, refuse_at
from borderpost.proof.cases import DescribedRequest
from borderpost.regions.config import Milliseconds
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.strict import StrictModel, validate
from borderpost_base.yaml_source import YamlDocument, load_yaml_file

LINES_ENDING: Final = ".jsonl"
PER_S_UNITS: Final = 1000
"""A rate is weighed in thousandths of a request per second, so that sums are exact."""
CRITICALITY_DEFAULT: Final = 3

Unit = Literal["requests", "requests/s"]


class Workload(StrictModel):
    """What is known of a workload beside its requests."""

    criticality: Annotated[int, Field(ge=1, le=5)] = CRITICALITY_DEFAULT
    """How much depends on it: 1 nobody notices if it stops, 5 people come to harm. 3, the middle, by default."""
    note: Text | None = None
    """What a reader should know; none by default."""


class TrafficRequest(DescribedRequest):
    """Requests that are alike, and how many."""

    workload: Identifier | None = None
    """What they are part of. None by default: then requests of one tenant and the same classes belong together."""
    count: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """How many; one by default, where no rate is given."""
    per_s: Annotated[float, Field(ge=0.001, le=1e9)] | None = None
    """How many in a second, to the thousandth; all lines of a file have rates or none has."""

    stale: bool = False
    """Whether the legal events were older than `events.max_age_s` for them; no by default."""

    @model_validator(mode="after")
    def _weighed_once(self) -> TrafficRequest:
        if self.count is not None and self.per_s is not None:
            error = BorderpostError("BP1252", "a line has a `count` or a rate, not both")
            refuse_at("TrafficRequest", [(("per_s",), error)])
        return self

    @property
    def weight(self) -> int:
        """Return the count, or the rate in thousandths."""
        return round(self.per_s * PER_S_UNITS) if self.per_s is not None else self.count or 1


class _About(StrictModel):
    """What a file says beside its requests."""

    apiVersion: Literal["residency/v1"] = "residency/v1"
    """The language's version; there is one."""
    kind: Literal["Traffic"]
    """What the file is."""
    workloads: Mapping[Identifier, Workload] = {}
    """Workloads by name. None by default; where there are any, requests name no others."""
    latency_ms: dict[str, dict[str, Milliseconds]] = {}
    """What a region costs in milliseconds, by client area and region, as in `ranking.latency_ms`. It does not rank: it
    is what moves are reckoned by. Empty by default: then the figures that rank are."""
    capacity_per_s: Mapping[Identifier, Annotated[float, Field(gt=0, le=1e12)]] = {}
    """What regions can bear, requests per second; unknown by default."""


class Traffic(_About):
    """A file of traffic."""

    requests: Annotated[tuple[TrafficRequest, ...], Field(min_length=1, max_length=limits.TRAFFIC_LINES_MAX)]
    """The requests, each kind with how many."""


class ReadTraffic(NamedTuple):
    """A file of traffic that was read, and where its requests stand."""

    traffic: Traffic
    unit: Unit
    places: tuple[Place, ...]
    """Where each request stands, for errors about it."""


def read_traffic(file: Path) -> ReadTraffic:
    """Read a file of traffic, YAML or JSON lines.

    Raises BorderpostError or Problems, each with its line: what cannot be read or parsed, what does not fit the form,
    workloads that the file does not have, and counts beside rates (BP1252).
    """
    if file.suffix == LINES_ENDING:
        traffic, places = _read_lines(file)
    else:
        document = load_yaml_file(file)
        traffic = validate(Traffic, document)
        places = tuple(document.place(("requests", index)) for index in range(len(traffic.requests)))
    found = list(_mistakes(traffic, places))
    if found:
        raise Problems(found[: limits.PROBLEMS_MAX])
    rates = traffic.requests[0].per_s is not None
    return ReadTraffic(traffic, "requests/s" if rates else "requests", places)


def _mistakes(traffic: Traffic, places: tuple[Place, ...]) -> Iterator[BorderpostError]:
    rates = traffic.requests[0].per_s is not None
    for request, place in zip(traffic.requests, places, strict=True):
        if (request.per_s is not None) != rates:
            detail = "some lines have a rate and others a count: the two cannot be added"
            yield BorderpostError("BP1252", detail, place=place)
        if request.workload is not None and traffic.workloads and request.workload not in traffic.workloads:
            error = check.unknown_name("BP1252", "workload", request.workload, traffic.workloads)
            yield BorderpostError(error.code, error.detail, place=place, mend=error.mend)


def _read_lines(file: Path) -> tuple[Traffic, tuple[Place, ...]]:
    """Read JSON lines. Raises BorderpostError BP0003 or BP1252, or Problems with what is wrong on its line."""
    about: dict[str, Any] = {"kind": "Traffic"}
    requests: list[TrafficRequest] = []
    places: list[Place] = []
    problems: list[BorderpostError] = []
    for number, told in _lines(file):
        document = YamlDocument(str(file), told, {(): (number, 1)})
        try:
            if isinstance(told, dict) and "kind" in told and not requests and len(about) == 1:
                about = dict(validate(_About, document))
                continue
            requests.append(validate(TrafficRequest, document))
        except Problems as several:
            problems += several.errors
        places.append(Place(str(file), number))
        if len(problems) >= limits.PROBLEMS_MAX:
            break
        if len(places) > limits.TRAFFIC_LINES_MAX:
            detail = f"more than {limits.TRAFFIC_LINES_MAX:,} requests"
            raise BorderpostError("BP1252", detail, place=places[-1], mend="join those that are alike")
    if problems:
        raise Problems(problems[: limits.PROBLEMS_MAX])
    if not requests:
        raise BorderpostError("BP1252", "there is no request in the file", place=Place(str(file)))
    return Traffic.model_construct(**about, requests=tuple(requests)), tuple(places)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number and the JSON value of each line that is not blank."""
    try:
        with file.open("rb") as content:
            for number in range(1, limits.TRAFFIC_LINES_MAX * 2):
                raw = content.readline(limits.TRAFFIC_LINE_BYTES_MAX + 1)
                if not raw:
                    return
                place = Place(str(file), number)
                if len(raw) > limits.TRAFFIC_LINE_BYTES_MAX:
                    raise BorderpostError("BP1252", f"more than {limits.TRAFFIC_LINE_BYTES_MAX} bytes", place=place)
                if raw.strip():
                    yield number, _value(raw, place)
    except OSError as error:
        raise BorderpostError("BP0003", f"{file}: {error.strerror}", place=Place(str(file))) from error


def _value(raw: bytes, place: Place) -> Any:
    try:
        value = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_without_twins, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise BorderpostError("BP1252", "not UTF-8", place=place) from error
    except (ValueError, RecursionError) as error:
        raise BorderpostError("BP1252", f"not JSON: {error}", place=place) from error
    if not isinstance(value, dict):
        raise BorderpostError("BP1252", "the line is no JSON object", place=place)
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_number(word: str) -> Any:
    raise ValueError(f"`{word}` is no number")
