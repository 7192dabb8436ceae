"""What `policy prove` prints as a counterexample really leaks: sent through the real Envoy under that very policy."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from borderpost.demo.scenery import ISSUER, REGIONS
from borderpost.demo.tokens import TokenIssuer
from borderpost.policy.model import Source
from borderpost.proof.prove import Breach
from support import leaky_policies
from support.clients import ALL, Client
from support.gateway import Gateway, eventually, gateway
from support.leaky_policies import PLACES, POLICY, Mutant, Verdict
from support.mmdb_writer import write_mmdb

pytestmark = pytest.mark.blackbox

ADDRESSES = {place: f"81.2.{number}.1" for number, place in enumerate(PLACES)}


def _where(place: str) -> dict[str, Any]:
    country, _, subdivision = place.partition("-")
    record: dict[str, Any] = {"country": {"iso_code": country}}
    return {**record, **({"subdivisions": [{"iso_code": subdivision}]} if subdivision else {})}


class Leaky:
    """A gateway whose policy is changed again and again."""

    def __init__(self, gate: Gateway, issuer: TokenIssuer) -> None:
        self.gate = gate
        self.issuer = issuer

    def leaks(self, mutant: Mutant, place: str, breach: Breach) -> None:
        """Send a counterexample until the changed policy holds; it has to reach the region that it must not reach."""
        region = breach.region
        assert region is not None
        rank = {name: 5 if name == region else 400 for name in REGIONS}  # law allows it: have latency choose it
        ranking = {**self.gate.config["ranking"], "latency_ms": {"*": rank}, "probes": {}}
        self.gate.reload({**self.gate.config, "policy": mutant.policy, "ranking": ranking})
        headers = [("x-data-class", ",".join(breach.asking.declared))] if breach.asking.declared else []
        if breach.asking.tenant is not None:
            headers.append(("authorization", f"Bearer {self.issuer.token(tenant=breach.asking.tenant)}"))
        client = Client(ADDRESSES[place], ALL)
        what = f"{mutant.name}: {breach.asking} in {place} reaches {region}"
        eventually(lambda: self.gate.send(client, headers).region == region, what)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaky]:
    directory = tmp_path_factory.mktemp("leaks")
    issuer = TokenIssuer(ISSUER)
    (directory / "keys.json").write_text(issuer.jwks())
    write_mmdb(
        directory / "places.mmdb",
        {f"{address}/32": _where(place) for place, address in ADDRESSES.items()},
        database_type="GeoLite2-City",
    )
    with gateway(
        directory,
        options=["--jwt", "stage", ISSUER, str(directory / "keys.json")],
        geoip={"database": "places.mmdb"},
        here=leaky_policies.HERE,
        evidence=leaky_policies.EVIDENCE,
        policy=POLICY,
        server={"workers": 1},
        tenants={"clinic": {"classes": None}},
    ) as gate:
        gate.legal_of_place = dict.fromkeys(PLACES, ALL)  # that these policies leak is the point
        yield Leaky(gate, issuer)


def _sendable(verdict: Verdict) -> Iterator[tuple[str, Breach]]:
    """Yield the counterexamples that a request of today can be, each with its place."""
    for breach in verdict.breaches:
        codes = [code for ground in breach.grounds.values() for code in ground.codes if code in ADDRESSES]
        today = any(span.from_us == verdict.space.spans[0].from_us for span in breach.spans)
        if today and codes and breach.asking.sources == (Source.GEOIP,):
            yield codes[0], breach


def test_what_prove_finds_leaks_through_envoy(leaky: Leaky) -> None:
    sent = 0
    for verdict in leaky_policies.verdicts("some", leaky_policies.legal_by_hand(POLICY)):
        for place, breach in itertools.islice(_sendable(verdict), 1):
            leaky.leaks(verdict.mutant, place, breach)
            sent += 1
        if sent == 4:
            return


@pytest.mark.full
def test_each_of_a_hundred_changes_is_found_to_leak_and_leaks_or_is_none(leaky: Leaky) -> None:
    """A leak that only a later date brings cannot be sent today: of those the naive evaluator says that they are."""
    base = leaky_policies.legal_by_hand(POLICY)
    kinds = Counter[str]()
    for verdict in itertools.islice(leaky_policies.verdicts("a hundred", base), 100):
        assert verdict.is_right(base), verdict.mutant.name
        sendable = list(itertools.islice(_sendable(verdict), 1))
        for place, breach in sendable:
            leaky.leaks(verdict.mutant, place, breach)
        kinds["sent" if sendable else "later" if verdict.breaches else "equivalent"] += 1
    print(dict(kinds))
    assert kinds.total() == 100
    assert kinds["sent"] >= 40
