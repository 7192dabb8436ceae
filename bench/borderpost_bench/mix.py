"""A realistic mix of requests: many addresses, few of them busy; countries, claims, data classes and models by weight.

Each request carries what the law is asked about it as the sender knows it: its facts are not read back from what the
product made of the request.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass

from borderpost.policy.model import Evidence, Facts, Source
from borderpost_bench.traffic import REFUSED, ROUTED, Client, Request

DEFAULT_CLASS = "personal"
"""What the starter packs take data to be that nobody has declared."""
MODELS = {"llama-3.3-70b": 40, "mistral-large": 25, "qwen3-32b": 15, "gpt-oss-120b": 12, "embed-multilingual": 8}
"""Each with how many of a hundred requests ask for it."""

_ROUTED_WEIGHTS = (22, 5, 12, 10, 4, 7, 3, 14, 2, 3, 3, 5, 4)
_REFUSED_WEIGHTS = (1, 2, 2, 1)
"""Of a hundred requests, how many come from each of `traffic.ROUTED` and `traffic.REFUSED`."""
_POPULARITY = 1.1
"""Exponent of the addresses' popularity (Zipf): a few clients ask often, most ask now and then."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the mix, and what is known of it."""

    request: Request
    facts: Facts
    """What the law is to be asked."""


def requests_of_mix(count: int, addresses: int, seed: int, *, refused: bool = True) -> list[Asked]:
    """Return so many requests from so many addresses; the same ones for the same seed.

    Without `refused` there are none among them that the law refuses: where latencies are compared with those of a
    server that refuses nobody, all have to go the whole way.
    """
    chance = random.Random(seed)
    weights = {**_weighed(ROUTED, _ROUTED_WEIGHTS), **(_weighed(REFUSED, _REFUSED_WEIGHTS) if refused else {})}
    pool = []
    for client in chance.choices(list(weights), list(weights.values()), k=addresses):
        network = ipaddress.ip_network(client.network)
        pool.append((client, str(network[chance.randrange(network.num_addresses)])))
    popularity = [1 / rank**_POPULARITY for rank in range(1, addresses + 1)]
    callers = chance.choices(pool, popularity, k=count)
    models = chance.choices(list(MODELS), list(MODELS.values()), k=count)
    return [
        Asked(
            Request(address, {"x-forwarded-for": address, "x-model": model, **client.headers}), facts_of(client, model)
        )
        for (client, address), model in zip(callers, models, strict=True)
    ]


def _weighed(clients: Sequence[Client], weights: Sequence[int]) -> dict[Client, int]:
    return dict(zip(clients, weights, strict=True))


def facts_of(client: Client, model: str | None) -> Facts:
    """Return what the law is asked about a request of a client, by the bench's own knowledge of it."""
    evidence = []
    if client.residency is not None:
        evidence.append(Evidence(Source.HEADER, client.residency))
    if client.country != "?":
        evidence.append(Evidence(Source.GEOIP, client.country))
    return Facts(tuple(evidence), _classes(client), model=model)


def _classes(client: Client) -> tuple[str, ...]:
    """Return the classes that count: what is declared adds to the default."""
    declared: Sequence[str] = () if client.data_class is None else (client.data_class,)
    return tuple(sorted({DEFAULT_CLASS, *declared}))
