"""What `policy prove` prints as a counterexample really leaks: sent through the real Envoy under that very policy."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from borderpost.demo.scenery import ISSUER, REGIONS
from borderpost.demo.tokens import TokenIssuer
from borderpost.policy.fields import to_us
from borderpost.policy.model import Source
from borderpost.proof.prove import Breach, also_of, prove
from borderpost.proof.space import Space
from borderpost_base.errors import Problems
from support import leaky_policies
from support.clients import ALL, Client
from support.gateway import Gateway, eventually, gateway
from support.leaky_policies import NOW, PLACES, POLICY, Mutant
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
        policy=POLICY,
        server={"workers": 1},
        tenants={"clinic": {"classes": None}},
    ) as gate:
        gate.legal_of_place = dict.fromkeys(PLACES, ALL)  # that these policies leak is the point
        yield Leaky(gate, issuer)


def _leaking(seed: str, count: int) -> Iterator[tuple[Mutant, str, Breach]]:
    """Yield changed policies with a counterexample of each that a request of today can be."""
    assertions = leaky_policies.promises(leaky_policies.legal_by_hand(POLICY)).assertions
    found = 0
    for mutant in leaky_policies.mutants(Random(seed)):
        try:
            side = leaky_policies.side_of(mutant.policy)
        except (ValidationError, Problems):
            continue
        space = Space([side], from_us=to_us(NOW), also=also_of(assertions))
        breaches = [breach for proof in prove(space, assertions) for breach in proof.breaches.values()]
        for breach in breaches:
            places = [code for ground in breach.grounds.values() for code in ground.codes if code in ADDRESSES]
            if breach.span.from_us == space.spans[0].from_us and places and breach.asking.sources == (Source.GEOIP,):
                found += 1
                yield mutant, places[0], breach
                break
        if found >= count:
            return


def test_what_prove_finds_leaks_through_envoy(leaky: Leaky) -> None:
    names = set()
    for mutant, place, breach in _leaking("some", 5):
        leaky.leaks(mutant, place, breach)
        names.add(mutant.name)
    assert len(names) == 5


@pytest.mark.full
def test_what_prove_finds_leaks_through_envoy_a_hundred_times(leaky: Leaky) -> None:
    names = set()
    for mutant, place, breach in _leaking("many", 100):
        leaky.leaks(mutant, place, breach)
        names.add(mutant.name)
    assert len(names) == 100
    assert len({name.partition(":")[0] for name in names}) >= 10, names
