"""What can be measured: each scenario is one value that says what stands behind Envoy and who asks it.

Further engines, rivals, kinds of load and features are further values here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any

from borderpost_bench.targets import Target
from borderpost_envoy import Via


class Server(enum.StrEnum):
    """What answers Envoy's question."""

    NONE = "none"
    """Nobody: Envoy does not ask, and every request goes to one region."""
    CONSTANT = "constant"
    """A service that gives every question the same route: no decision, no log. What an engine costs by itself."""
    PRODUCT = "product"
    """`borderpost serve`, with its log on a disk."""
    GO_STUB = "go-stub"
    """A zero-work grpc-go server: the same constant answer in Go."""
    GO_HONEST = "go-honest"
    """The same facts, database, table, chained log and group commit in Go."""
    OPA = "opa"
    """OPA-Envoy with a policy that decides the same: see opa.py for what it is spared."""

    @property
    def ours(self) -> bool:
        """Return True if it runs on our engine."""
        return self in {Server.CONSTANT, Server.PRODUCT}


class Driver(enum.StrEnum):
    """What makes the load."""

    WRK = "wrk"
    """HTTP/1.1 POSTs to Envoy; as many in flight as connections (a closed loop)."""
    OPEN = "open"
    """The same requests and others, each sent when it is due, whatever became of the ones before (an open loop)."""
    H2LOAD = "h2load"
    """One gRPC message over and over to the server itself, without Envoy, on one connection (a closed loop)."""
    STREAMS = "streams"
    """Questions that all differ to the server itself, each on a stream that ends as Envoy ends it (a closed loop)."""


class BodyUse(enum.StrEnum):
    """What is done with a request's body on its way."""

    PASSED = "passed"
    """It goes through as it comes."""
    BUFFERED = "buffered"
    """Envoy's own buffer filter collects it before it goes on, and nobody looks at it."""
    READ = "read"
    """Body mode: it is read as JSON, hashed, and asked for model and data class."""
    SEARCHED = "searched"
    """Body mode with detectors."""


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
    body_kib: int = 0
    """Size of each request's body in KiB; 0 for a short chat of half of one."""
    body_use: BodyUse = BodyUse.PASSED
    stream_workers: int = 0
    """grpc-go's experimental NumStreamWorkers for a rival in Go; 0 is its default, a goroutine a stream."""
    baselines: tuple[str, ...] = ("plain", "constant")
    """Scenarios of the same run that this one is given as a ratio of."""
    stub: str | None = None
    """The scenario with the zero-work grpc-go server that is asked in the same way."""
    honest: str | None = None
    """The one with the honest equivalent in Go."""
    opa: str | None = None
    """The one with OPA-Envoy."""
    targets: tuple[Target, ...] = ()
    """What its figures are held to."""
    by_default: bool = True
    """Whether it is measured when nothing is named."""
    note: str = ""
    """What a reader of its figures has to know."""

    @property
    def needs_go(self) -> bool:
        """Return True if it runs a program in Go."""
        return not (self.server.ours or self.server is Server.NONE) or self.driver is Driver.STREAMS

    @property
    def direct(self) -> bool:
        """Return True if Envoy has no part in it."""
        return self.driver not in {Driver.WRK, Driver.OPEN}


def _envoy(name: str, title: str, server: Server, **more: Any) -> Scenario:
    return Scenario(name, title, server, stub="go-stub", honest="go-honest", **more)


def _streams(name: str, title: str, server: Server, **more: Any) -> Scenario:
    return Scenario(
        name, f"{title}, without Envoy", server, Driver.STREAMS, in_flight=64, **{
            "stub": "go-stub-streams", "honest": "go-honest-streams", "baselines": ("constant-streams",), **more,
        },
    )  # fmt: skip


def _h2load(name: str, title: str, server: Server, **more: Any) -> Scenario:
    return Scenario(
        name, f"{title}, without Envoy, one message repeated", server, Driver.H2LOAD, traffic="one", in_flight=64,
        stub="go-stub-direct", by_default=False, **{"baselines": ("constant-direct",), **more},
    )  # fmt: skip


_THROUGH_ENVOY = (
    Target(
        figure="cpu_ratio_to_go_stub", most=0.7, aim=0.6,
        what="server CPU per decision through Envoy, of the zero-work grpc-go server's",
    ),
    Target(
        figure="throughput_ratio_to_constant", least=0.88,
        what="throughput through Envoy, of the constant answer's on the same engine",
    ),
)  # fmt: skip
_DIRECTLY = (
    Target(
        figure="cpu_ratio_to_go_stub", most=0.6, aim=0.5,
        what="server CPU per decision driven directly, of the zero-work grpc-go server's",
    ),
    Target(
        figure="cpu_ratio_to_go_honest", most=0.25,
        what="server CPU per decision driven directly, of the honest Go equivalent's",
    ),
    Target(
        figure="throughput_ratio_to_go_stub", least=1.5, aim=1.75,
        what="throughput driven directly, of the zero-work grpc-go server's",
    ),
)  # fmt: skip

_OPA_NOTE = (
    "OPA-Envoy has no GeoIP database, so a header tells it the country; its decision log goes to the console and is "
    "not synced; it can refuse by 403 only"
)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("plain", "plain proxy", Server.NONE, baselines=()),
    _envoy("constant", "constant answer by ext_proc", Server.CONSTANT, baselines=("plain",)),
    _envoy("go-stub", "zero-work grpc-go by ext_proc", Server.GO_STUB),
    _envoy("go-honest", "honest Go equivalent by ext_proc", Server.GO_HONEST),
    _envoy("ext_proc", "Borderpost by ext_proc", Server.PRODUCT, targets=_THROUGH_ENVOY),
    Scenario("opa", "OPA-Envoy by ext_authz", Server.OPA, via=Via.EXT_AUTHZ, traffic="placed", note=_OPA_NOTE),
    Scenario("ext_authz", "Borderpost by ext_authz", Server.PRODUCT, via=Via.EXT_AUTHZ, opa="opa"),
    Scenario("refusals", "Borderpost by ext_proc, 4 of 17 refused", Server.PRODUCT, traffic="mixed", by_default=False),
    Scenario("open", "Borderpost by ext_proc, open loop", Server.PRODUCT, Driver.OPEN, traffic="mixed", baselines=()),
    _streams("constant-streams", "constant answer", Server.CONSTANT, baselines=()),
    _streams("go-stub-streams", "zero-work grpc-go", Server.GO_STUB),
    _streams(
        "go-stub-tuned-streams",
        "zero-work grpc-go, 128 stream workers",
        Server.GO_STUB,
        stream_workers=128,
        by_default=False,
    ),
    _streams("go-honest-streams", "honest Go equivalent", Server.GO_HONEST),
    _streams("borderpost-streams", "one worker", Server.PRODUCT, targets=_DIRECTLY),
    _streams(
        "opa-streams",
        "OPA-Envoy by ext_authz",
        Server.OPA,
        via=Via.EXT_AUTHZ,
        traffic="placed",
        note=_OPA_NOTE,
        stub=None,
        honest=None,
        baselines=(),
    ),
    _streams(
        "ext_authz-streams",
        "one worker by ext_authz",
        Server.PRODUCT,
        via=Via.EXT_AUTHZ,
        opa="opa-streams",
        stub=None,
        honest=None,
        baselines=(),
    ),
    _h2load("constant-direct", "constant answer", Server.CONSTANT, baselines=()),
    _h2load("go-stub-direct", "zero-work grpc-go", Server.GO_STUB),
    _h2load("direct", "one worker", Server.PRODUCT),
)
"""In the order in which a round runs them."""

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

BESIDE = ("constant", "ext_proc", "borderpost-streams")
"""What is measured on grpcio too when nothing is named, so that its figures stand beside the targets'."""


def on_engine(scenario: Scenario, engine: str) -> Scenario:
    """Return a scenario of ours on one engine, as `NAME@ENGINE`; others as they are."""
    if not scenario.server.ours:
        return scenario
    own = tuple(f"{base}@{engine}" if BY_NAME[base].server.ours else base for base in scenario.baselines)
    return replace(
        scenario, name=f"{scenario.name}@{engine}", title=f"{scenario.title}, engine {engine}", engine=engine,
        baselines=own,
    )  # fmt: skip


def find(name: str) -> Scenario:
    """Return the scenario of a name, `NAME` or `NAME@ENGINE`. Raises KeyError."""
    base, at, engine = name.partition("@")
    return on_engine(BY_NAME[base], engine) if at else BY_NAME[base]
