"""What tests of faults under the whole product share: a small gateway, and questions to its log and its answers."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from support.client import Observed
from support.clients import GERMAN
from support.gateway import Gateway, decision_id, gateway


def small_gate(directory: Path, *, workers: int = 1, **how: Any) -> AbstractContextManager[Gateway]:
    """Run the product with one worker, the smallest ballast and quick retries."""
    audit = {"ballast_bytes": 65536, "retry_s": 0.1, **how.pop("audit", {})}
    server = {"workers": workers, **how.pop("server", {})}
    return gateway(directory, audit=audit, server=server, **how)


def log_lines(gate: Gateway, **having: Any) -> list[dict[str, Any]]:
    """Return the lines that Borderpost's processes logged with these values."""
    found = []
    for text in gate.log_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if having.items() <= line.items():
            found.append(line)
    return found


def refusal_of(gate: Gateway) -> tuple[int, str | None, str | None]:
    """Send a request; return its status, and code and reason of its problem body if it has one."""
    asked = gate.send(GERMAN)
    if asked.reply.header("content-type") != "application/problem+json":
        return asked.status, None, None
    problem = json.loads(asked.reply.body)
    return asked.status, problem["code"], problem["reason"]


def acknowledged_in_log(gate: Gateway, observed: Observed) -> None:
    """Assert that every decision id that a client got is in the log, once, with the region that served."""
    records = gate.decisions()
    recorded = {decision_id(record): record["out"].get("r") for record in records}
    assert len(recorded) == len(records)
    for decision, region, status in observed.decisions:
        assert decision in recorded, (decision, status)
        assert status != 200 or recorded[decision] == region


def gaps(gate: Gateway) -> list[dict[str, Any]]:
    """Return the `gap` records of the log."""
    return [record for record in gate.records() if record["type"] == "gap"]
