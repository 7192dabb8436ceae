"""A small deployment with traffic, and logs of it by the product's own writer, for `whatif` and `risk` as commands."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from borderpost.answers import Route
from borderpost.audit.inputs import InputStore
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost.geoip import GeoDatabase
from borderpost.policy.fields import parse_instant, to_us
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost_base.world import World
from support.audit import open_writer

CONFIG = """\
here: {country: DE, operator: {jurisdiction: DE}}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-1: {country: DE, operator: {entity: Acme Inc, jurisdiction: US}}
  eu-2: {country: FR, operator: {entity: Loire SA, jurisdiction: FR}}
  us-1: {country: US, operator: {entity: Acme Inc, jurisdiction: US, certifications: [eu-us-dpf]}}
ranking: {latency_ms: {EU: {eu-1: 8, eu-2: 20, us-1: 95}, US: {us-1: 5}}}
policy:
  regimes:
    - id: own-health
      title: Health data stays with operators of the Union
      source: Board decision 12
      applies_when: {subject_in: "*", data: [health]}
      default: allow
      deny: [{to: "*", operator_in: US, basis: no-us-law}]
"""
TRAFFIC = """\
apiVersion: residency/v1
kind: Traffic
workloads: {triage: {criticality: 5}, chat: {criticality: 2}}
capacity_per_s: {eu-2: 30}
requests:
  - {workload: triage, country: DE, classes: [health], per_s: 12.5}
  - {workload: chat, country: DE, per_s: 27.5}
  - {workload: chat, country: US, per_s: 10}
  - {workload: chat, country: CU, per_s: 1}
"""
AT = ("--at", "2026-11-23")


def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the deployment into a folder, and go there."""
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "traffic.yaml").write_text(TRAFFIC)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it printed."""
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command that succeeds, or finds something; return its JSON."""
    found, out, err = run(capsys, *words, "--json")
    assert (found, err) == (code, ""), err or out
    told: dict[str, Any] = json.loads(out)
    return told


def view(folder: Path, signals: Signals) -> View:
    """Return what decides in the deployment, its inputs stored beside the log."""
    loaded = load_config(folder / "borderpost.yaml", {}, {})
    made = view_of(loaded, GeoDatabase.of(loaded.config.geoip), signals)
    store = InputStore(folder / "audit", World())
    for part in (loaded.bundle, loaded.events, made.compiled.catalog, signals):
        store.put(part.canonical())
    store.put_file(made.geo.path)
    return made


REQUESTS = {
    "german": RawRequest("", residency_claim="DE", tenant_claim="shop"),
    "care": RawRequest("", (("x-data-class", b"health"),), residency_claim="FR", tenant_claim="clinic"),
    "american": RawRequest("", residency_claim="US"),
    "cuban": RawRequest("", residency_claim="CU"),
    "malformed": RawRequest("", residency_claim="nowhere"),
}
START_US = to_us(parse_instant("2026-11-20T10:00:00Z"))


def write_log(
    folder: Path, counts: dict[str, int], *, tamper: bool = False, stale: bool = False, stream: str = "worker-0"
) -> Counter[str | None]:
    """Write decisions a second apart, in turn; return how many each region serves by their records."""
    signals = Signals(
        {"eu-1": RegionSignal(State.UP, 9000), "us-1": RegionSignal(State.DOWN)}, "0123456789abcdef", START_US
    )  # fmt: skip
    made = view(folder, signals).turned(stale=stale)
    writer = open_writer(folder / "audit", stream=stream)
    served: Counter[str | None] = Counter()
    at_us = START_US
    for name, count in counts.items():
        for _ in range(count):
            decision = made.answer(REQUESTS[name], at_us)
            record = dict(decision.record)
            if tamper:
                record["out"] = {**record["out"], "r": "eu-2", "cluster": "eu-2", "cc": "FR"}
                tamper = False
            writer.append("decision", {**record, "req": {}, "via": "ext_proc"}, at_us=at_us)
            served[decision.answer.region if isinstance(decision.answer, Route) else None] += 1
            at_us += 1_000_000
    writer.commit()
    writer.close()
    return served
