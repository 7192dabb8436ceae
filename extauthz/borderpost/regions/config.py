"""The `ranking` section of the configuration: latency by client area, probes, and how ties are broken.

Ranking chooses inside the set of regions that the law allows; nothing here can widen that set. Probes stand
here, by region id, and not in the catalogue, so that the policy knows nothing of them.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from borderpost_base import limits
from borderpost_base.errors import BadValue, BorderpostError, Place
from borderpost_base.strict import StrictModel

ANY_AREA = "*"
"""The row of `latency_ms` that counts for every area without a more specific figure."""

LatencySource = Literal["table", "probe"]
Milliseconds = Annotated[float, Field(ge=0.0, le=60_000.0)]
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PATH = re.compile(r"/[\x21-\x7e]*")
_AREA_CODE = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,4})?")


def split_host_port(address: str) -> tuple[str, int]:
    """Return (host, port) of `host:port` or `[v6]:port`. Raises BadValue BP0701."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        known = _is_address(host, 6)
    else:
        known = ":" not in host and (_is_address(host, 4) or _HOST_NAME.fullmatch(host) is not None)
    if not colon or not known:
        raise BadValue("BP0701", f"`{address}` is not `host:port` (an IPv6 address stands in brackets)")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise BadValue("BP0701", f"`{port}` is not a port from 1 to 65535")
    return host, int(port)


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_host_port(address)
    return address


def _checked_path(path: str) -> str:
    if not _PATH.fullmatch(path) or len(path) > limits.PROBE_PATH_BYTES_MAX:
        raise BadValue("BP0701", "the path begins with `/` and holds visible ASCII only (percent-encode the rest)")
    return path


class ProbeSpec(StrictModel):
    """How one region is probed by the steward."""

    kind: Literal["http", "tcp"] = "http"
    """`http` sends `GET` and looks at the status; `tcp` is content with a connection. HTTP is the default
    because a listening port says little of the inference server behind it."""

    address: Annotated[str, AfterValidator(_checked_address)]
    """`host:port` of the region's endpoint as this gateway reaches it; `[v6]:port` for IPv6. A host name is looked
    up anew for each probe, outside the measured time."""

    path: Annotated[str, AfterValidator(_checked_path)] = "/"
    """Path asked for by `http`. Name one that is cheap and says whether inference works."""

    host: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._:\[\]-]+$")] | None = None
    """`Host` header of an `http` probe; the address if left out."""

    expect: tuple[Annotated[int, Field(ge=100, le=599)], ...] = Field(default=(200,), min_length=1, max_length=32)
    """Statuses that mean healthy. Only 200 by default: a redirect or a login page is not an inference server."""

    interval_s: float = Field(default=5.0, ge=0.1, le=3600.0)
    """Seconds from the start of one probe to the start of the next, give or take a tenth so that gateways do
    not probe in step. Five seconds and two failures mean that a dead region is left within about ten."""

    timeout_s: float = Field(default=1.0, ge=0.01, le=60.0)
    """Seconds after which a probe has failed. A region that needs a second for its health page serves nobody."""

    healthy_after: int = Field(default=2, ge=1, le=100)
    """Successes in a row that bring a region that was down back up; two keep a flapping one out."""

    unhealthy_after: int = Field(default=2, ge=1, le=100)
    """Failures in a row that take a region that was up down; one lost packet should not move traffic."""

    @model_validator(mode="after")
    def _coherent(self) -> ProbeSpec:
        if self.timeout_s > self.interval_s:
            raise BadValue(
                "BP0702",
                f"timeout_s ({self.timeout_s:g}) is longer than interval_s ({self.interval_s:g}): probes would pile up",
            )
        if self.kind == "tcp" and {"path", "host", "expect"} & self.model_fields_set:
            raise BadValue("BP0702", "`path`, `host` and `expect` mean nothing to a tcp probe")
        return self


class RankingSpec(StrictModel):
    """How a region is chosen among those that the law allows."""

    prefer: tuple[LatencySource, ...] = Field(default=("table", "probe"), min_length=1, max_length=2)
    """Which figure counts for a region, the first that exists: `table` (`latency_ms`, from the client's area) or
    `probe` (measured from this gateway). The table comes first because the way that matters begins at the client's
    side of the world; a source left out is not used. A region without any figure ranks after those that have one."""

    tie_margin_ms: Milliseconds = 5.0
    """Regions within this many milliseconds of the fastest are equals, and a seed of the signals snapshot decides
    between them. Nobody notices 5 ms before a first token, and it keeps noise from moving traffic."""

    latency_ms: dict[str, dict[str, Milliseconds]] = Field(default_factory=dict)
    """Milliseconds by client area and region: `{DE: {eu-central-1: 8}, EU: {…}, "*": {…}}`. An area is a country, a
    subdivision (`CA-QC`), a group of the policy, or `"*"`. For each region the most specific area that has a
    figure counts: subdivision, then country, then groups in the order of this file, then `"*"`."""

    probes: dict[str, ProbeSpec] = Field(default_factory=dict)
    """Probes by region id. A region without a probe is never known to be down."""

    @model_validator(mode="after")
    def _coherent(self) -> RankingSpec:
        if len(set(self.prefer)) != len(self.prefer):
            raise BadValue("BP0702", "`prefer` names a source twice")
        if len(self.probes) > limits.REGIONS_MAX:
            raise BadValue("BP0702", f"more than {limits.REGIONS_MAX} probes")
        if len(self.latency_ms) > limits.LATENCY_AREAS_MAX:
            raise BadValue("BP0702", f"`latency_ms` has more than {limits.LATENCY_AREAS_MAX} areas")
        return self

    def mistakes(
        self, region_ids: Collection[str], group_ids: Collection[str], *, file: str | None = None
    ) -> list[BorderpostError]:
        """Return what does not fit the catalogue and the policy's groups: BP0703 for regions, BP0704 for areas.

        Places carry the dotted key; the caller, who has the document, adds the line.
        """
        found = [
            _unknown_name("BP0703", "region", name, region_ids, Place(file, key=f"ranking.probes.{name}"))
            for name in self.probes
            if name not in region_ids
        ]
        for area, row in self.latency_ms.items():
            key = f"ranking.latency_ms.{area}"
            if area != ANY_AREA and area not in group_ids and not _AREA_CODE.fullmatch(area):
                found.append(_unknown_name("BP0704", "area", area, group_ids, Place(file, key=key)))
            found.extend(
                _unknown_name("BP0703", "region", name, region_ids, Place(file, key=f"{key}.{name}"))
                for name in row
                if name not in region_ids
            )
        return found


def _unknown_name(code: str, noun: str, name: str, known: Collection[str], place: Place) -> BorderpostError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    mend = f"did you mean `{near[0]}`?" if near else None
    return BorderpostError(code, f"`{name}` is no {noun} known here", place=place, mend=mend)
