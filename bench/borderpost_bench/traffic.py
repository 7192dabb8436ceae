"""The requests that are sent, and what the law of the starter packs must say to each.

The expectation is written down by hand: the check after a run holds the audit log against it, not against the code
that decided. Networks lie wholly in one country of the embedded GeoIP database (a test holds them to it).
"""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

EU = frozenset({"eu-central-1", "eu-west-1"})
EVERYWHERE = frozenset({"ap-southeast-1", "eu-central-1", "eu-west-1", "me-central-1", "us-east-1"})
NOWHERE: frozenset[str] = frozenset()

MODEL = "bench"
CHAT = json.dumps({
    "model": MODEL, "max_tokens": 64,
    "messages": [{"role": "user", "content": "Say in one sentence what a border post is for. " * 6}],
})  # fmt: skip
"""Body of each request: a short chat completion."""
_PROSE = (
    "In the spring of 1848 the river rose by 3 metres, and the clerk, who had kept the books since he was 19, wrote "
    "down who crossed, what they carried and what they paid; of 1,204 carts, he noted, 17 were turned back. "
)
"""What long bodies are filled with: words, and numbers that mean nothing."""
PATH = "/v1/chat/completions"
COUNTRY_HEADER = "x-client-country"
"""Tells a rival without a GeoIP database where the client is."""
_SEED = 20261121


@dataclass(frozen=True, slots=True)
class Client:
    """Clients of one country that say the same of themselves."""

    country: str
    network: str
    """Where their addresses are drawn from."""
    legal: frozenset[str]
    """The regions that the law allows them; none means refused."""
    residency: str | None = None
    """What they assert in x-data-residency."""
    data_class: str | None = None
    """What they declare in x-data-class."""
    placed: bool = False
    """Whether a hop in front says the country in a header."""

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that carry the claims."""
        claims = {
            "x-data-residency": self.residency,
            "x-data-class": self.data_class,
            COUNTRY_HEADER: self.country if self.placed else None,
        }
        return {name: value for name, value in claims.items() if value is not None}


ROUTED: tuple[Client, ...] = (
    Client("DE", "88.198.0.0/18", EU),
    Client("DE", "2a01:4f8::/44", EU),
    Client("FR", "62.210.0.0/16", EU),
    Client("GB", "212.58.224.0/19", EU),
    Client("CH", "195.186.0.0/16", EU),
    Client("IT", "151.15.0.0/16", EU),
    Client("ES", "80.24.0.0/15", EU, data_class="health"),
    Client("US", "12.0.0.0/16", EVERYWHERE),
    Client("US", "12.0.0.0/16", EU, residency="FR"),
    Client("AE", "94.200.0.0/16", frozenset({"me-central-1"})),
    Client("SG", "165.21.0.0/16", frozenset({"ap-southeast-1", "us-east-1"})),
    Client("IN", "49.205.0.0/17", EVERYWHERE),
    Client("BR", "200.160.0.0/20", EU),
)
"""Clients that the law lets pass, each to its own set of regions."""

REFUSED: tuple[Client, ...] = (
    Client("IR", "5.160.0.0/16", NOWHERE),
    Client("AE", "94.200.0.0/16", NOWHERE, data_class="health"),
    Client("IN", "49.205.0.0/17", NOWHERE, data_class="payment"),
    Client("?", "192.0.2.0/24", NOWHERE),  # TEST-NET-1, RFC 5737
)
"""Clients that it does not."""

TRAFFIC: Mapping[str, tuple[Client, ...]] = {
    "routed": ROUTED,
    "mixed": ROUTED + REFUSED,
    "one": ROUTED[:1],
    "placed": tuple(replace(client, placed=True) for client in ROUTED),
    "sized": tuple(client for client in ROUTED if client.country not in {"AE", "SG"}),
}
"""By name: who asks. `one` is for a load generator that repeats a single message, `placed` for a server that
cannot look addresses up, `sized` for configurations in which not all regions need to be (sizes.py)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a trusted hop in front of Envoy hands it on."""

    address: str
    headers: Mapping[str, str]
    """Claims, and the client's address in x-forwarded-for."""


def requests_of(traffic: str, addresses: int) -> list[Request]:
    """Return requests of all clients in turn, from so many addresses; the same ones every time."""
    clients = TRAFFIC[traffic]
    chance = random.Random(_SEED)
    networks = [ipaddress.ip_network(client.network) for client in clients]
    made = []
    for number in range(addresses):
        client, network = clients[number % len(clients)], networks[number % len(clients)]
        address = str(network[chance.randrange(network.num_addresses)])
        made.append(Request(address, {"x-forwarded-for": address, **client.headers}))
    return made


def chat_of(size_bytes: int) -> str:
    """Return a chat completion of a size: a long prompt of plain prose, in which detectors find nothing."""
    start, end = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "', '"}]}'
    room = size_bytes - len(start) - len(end)
    return start + (_PROSE * (room // len(_PROSE) + 1))[:room] + end


def legal_for(country: str, residency: str | None, classes: frozenset[str]) -> frozenset[str] | None:
    """Return the regions that the law allows to whoever a record speaks of, None if no client is like that.

    `classes` are the record's; a client that declares none has the default class alone.
    """
    for client in ROUTED + REFUSED:
        declared = client.data_class
        if (client.country, client.residency) == (country, residency) and (
            declared in classes if declared is not None else len(classes) == 1
        ):
            return client.legal
    return None


def legal_without_law(country: str, _residency: str | None, _classes: frozenset[str]) -> frozenset[str] | None:
    """Return the regions that are open where no regime holds: all of them, to whoever's country is known."""
    return NOWHERE if country == "?" else EVERYWHERE
