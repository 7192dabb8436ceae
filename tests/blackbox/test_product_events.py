"""The whole product and legal events: in force at their instant, never forgotten, whatever becomes of the file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost_envoy import Via
from support.clients import AMERICAN, GERMAN, UNION
from support.gateway import Gateway, eventually, gateway

pytestmark = pytest.mark.blackbox

AHEAD_S = 2.5
"""How long before its instant an event is written; the steward looks ten times a second."""
LASTS_S = 1.0
AFTER_S = 0.5


def suspension(name: str, *regions: str, starts: datetime, ends: datetime | None = None) -> dict[str, Any]:
    """Return an event that takes regions out, known from now on."""
    event = {
        "id": name,
        "type": "region_suspend",
        "scope": {"regions": list(regions)},
        "effective_from": _stamp(starts),
        "recorded_at": _stamp(datetime.now(UTC)),
        "source": "Test authority",
        "reason": "No such order exists",
    }
    return event if ends is None else {**event, "effective_until": _stamp(ends)}


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture(scope="module", params=list(Via))
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for one test after the other: events stay."""
    with gateway(tmp_path_factory.mktemp("events"), via=request.param) as gate:
        yield gate


def test_suspension_holds_from_its_instant_to_its_end(gate: Gateway) -> None:
    """Under load, without a reload; what counts is the instant that each decision's record names."""
    starts = datetime.now(UTC) + timedelta(seconds=AHEAD_S)
    ends = starts + timedelta(seconds=LASTS_S)
    gate.write_events(suspension("order-1", "eu-central-1", starts=starts, ends=ends))
    seconds = (ends - datetime.now(UTC)).total_seconds() + AFTER_S
    observed = gate.load([GERMAN], seconds=seconds, concurrency=4)
    assert observed.statuses.keys() == {200}
    told = [(record["ts"], record["out"]["r"]) for record in gate.decisions()]
    assert {region for at, region in told if at < _stamp(starts)} == {"eu-central-1"}
    assert {region for at, region in told if _stamp(starts) <= at < _stamp(ends)} == {"eu-west-1"}
    assert {region for at, region in told if at >= _stamp(ends)} == {"eu-central-1"}
    assert gate.served == observed.regions == gate.routed()
    known = [
        record["event"] for record in gate.records() if record["type"] == "legal_event.apply" and "event" in record
    ]
    assert set(known) == {"order-1"}


def _replace(file: Path, content: bytes) -> None:
    """Put a file in the place of another, so that no reader ever sees half of it."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.rename(file)


def test_event_in_force_cannot_be_taken_back_by_the_file(gate: Gateway) -> None:
    order = suspension("order-2", *UNION, starts=datetime.now(UTC) - timedelta(seconds=1))
    assert gate.send(GERMAN).region == "eu-central-1"
    file = gate.directory / "events.yaml"
    earlier = yaml.safe_load(file.read_text())["events"]
    gate.write_events(*earlier, order)
    eventually(lambda: gate.send(GERMAN).status == 451, "suspended")
    gate.reset()
    attempts = {
        "emptied": gate.write_events,
        "changed": lambda: gate.write_events(*earlier, {**order, "scope": {"regions": ["us-east-1"]}}),
        "ended": lambda: gate.write_events(*earlier, {**order, "effective_until": _stamp(datetime.now(UTC))}),
        "another in its place": lambda: gate.write_events(*earlier, {**order, "id": "order-3"}),
        "no YAML": lambda: _replace(file, b"events: [}"),
        "an unknown region": lambda: gate.write_events(
            *earlier, order, {**order, "id": "x", "scope": {"regions": ["mars"]}}
        ),
        "cut to nothing": lambda: _replace(file, b""),
        "removed": file.unlink,
    }
    for title, attempt in attempts.items():
        refused = gate.metric("borderpost_reload_total", what="events", result="refused")
        attempt()
        eventually(
            lambda refused=refused: gate.metric("borderpost_reload_total", what="events", result="refused") > refused,  # type: ignore[misc]
            f"{title}: refused",
        )
        asked = gate.send(GERMAN, legal=())
        assert asked.status == 451, title
        assert gate.record(asked)["out"]["code"] == "BP0801"
        assert gate.record(asked)["refused"]["event/order-2"] == len(UNION)
    assert gate.logged("BP0606") == 5
    assert gate.served == {}
    assert gate.send(AMERICAN).region == "us-east-1"
    gate.write_events(
        *earlier, order, suspension("order-4", "us-east-1", starts=datetime.now(UTC) - timedelta(seconds=1))
    )
    eventually(lambda: gate.send(AMERICAN).region == "me-central-1", "a longer list is taken")
