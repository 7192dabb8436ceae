"""What can be measured: each scenario is one value that says what stands behind Envoy and who asks it.

Further engines, rivals, kinds of load and features are further values here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from borderpost_envoy import Via


class Server(enum.StrEnum):
    """What answers Envoy's question."""

    NONE = "none"
    """Nobody: Envoy does not ask, and every request goes to one region."""
    CONSTANT = "constant"
    """A service that gives every question the same route: no decision, no log. What an engine costs by itself."""
    PRODUCT = "product"
    """`borderpost serve`, with its log on a disk."""


class Driver(enum.StrEnum):
    """What makes the load."""

    WRK = "wrk"
    """HTTP/1.1 POSTs to Envoy; as many in flight as connections (a closed loop)."""
    H2LOAD = "h2load"
    """One gRPC message over and over to the server itself, without Envoy, on one connection (a closed loop)."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure."""

    name: str
    title: str
    server: Server
    driver: Driver = Driver.WRK
    via: Via = Via.EXT_PROC
    traffic: str = "routed"
    """A name of `traffic.TRAFFIC`."""
    engine: str = "auto"
    """As in `server.engine`."""
    workers: int = 1
    in_flight: int | None = None
    """Requests at a time; None leaves it to the run's settings."""
    baselines: tuple[str, ...] = ("plain", "constant")
    """Scenarios of the same run that this one is given as a ratio of."""


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("plain", "plain proxy", Server.NONE, baselines=()),
    Scenario("constant", "constant answer by ext_proc", Server.CONSTANT, baselines=("plain",)),
    Scenario("ext_proc", "Borderpost by ext_proc", Server.PRODUCT),
    Scenario("ext_authz", "Borderpost by ext_authz", Server.PRODUCT, via=Via.EXT_AUTHZ),
    Scenario("refusals", "Borderpost by ext_proc, 4 of 17 refused", Server.PRODUCT, traffic="mixed"),
    Scenario(
        "constant-direct", "constant answer, without Envoy", Server.CONSTANT, Driver.H2LOAD,
        traffic="one", in_flight=64, baselines=(),
    ),
    Scenario(
        "direct", "one worker, without Envoy", Server.PRODUCT, Driver.H2LOAD,
        traffic="one", in_flight=64, baselines=("constant-direct",),
    ),
)  # fmt: skip
"""In the order in which a round runs them."""

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
