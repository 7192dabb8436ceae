"""The parts of a worker in one event loop, without process, socket and engine: publication, view, log, processor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from borderpost.answers import AnswerSettings
from borderpost.audit.inputs import InputStore
from borderpost.body_mode import body_mode_of
from borderpost.config.load import Loaded, load_config
from borderpost.counters.tally import WorkerTally
from borderpost.decision import View
from borderpost.live import Live, activations
from borderpost.observation import Observation
from borderpost.processor import Processor
from borderpost.publication import Publication
from borderpost.record_keeper import RecordKeeper, counting_commits
from borderpost.rollback import Settled
from borderpost.snapshots import SharedPage, SnapshotReader, SnapshotWriter
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base.metrics import Metrics, local_metrics
from borderpost_base.world import SystemClock, SystemDisk, World
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import StatusCode
from support.audit import small_spec
from support.borderpost_process import merged, small_config, write_config
from support.mmdb_writer import write_mmdb

STREAM = "worker-0"
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
ANSWERS = AnswerSettings("https://gateway.example", 5)
REGIONS = {"eu-1": ("DE", 1), "eu-2": ("IE", 1), "us-1": ("US", 1)}
RANKING = {"latency_ms": {"*": {"eu-1": 10, "eu-2": 30, "us-1": 50}}}
BRITISH = "212.58.244.20"
"""The one address that the tests' GeoIP database knows: it is in GB."""


class FakeCall:
    """A call that keeps what it was told."""

    def __init__(self, method: str = PROCESS) -> None:
        self.method = method
        self.state: Any = None
        self.alive = True
        self.replies: list[bytes] = []
        self.asked: list[bytes] = []
        self.failed: tuple[StatusCode, str] | None = None

    def reply(self, message: bytes) -> None:
        self.replies.append(message)

    def ask(self, message: bytes) -> None:
        self.asked.append(message)

    def fail(self, status: StatusCode, text: str) -> None:
        self.failed = (status, text)

    def finish(self) -> None:
        raise AssertionError("a clean end is leave to pass")

    @property
    def answered(self) -> bool:
        """Return True once it has an answer of either kind."""
        return bool(self.replies) or self.failed is not None

    @property
    def answer(self) -> Any:
        """Return the one reply, parsed."""
        (message,) = self.replies
        kind = proc.ProcessingResponse if self.method == PROCESS else authz.CheckResponse
        return kind.FromString(message)

    @property
    def cluster(self) -> str | None:
        """Return the cluster that the reply routes to, None if it refuses."""
        answer = self.answer
        if self.method == PROCESS:
            phase = answer.request_body if self.asked else answer.request_headers
            found = phase.response.header_mutation.set_headers
        else:
            found = answer.ok_response.headers
        return next((each.header.raw_value.decode() or each.header.value for each in found), None)

    @property
    def refusal(self) -> tuple[int, str]:
        """Return status and problem body of a refusal by ext_proc."""
        immediate = self.answer.immediate_response
        return immediate.status.code, immediate.body.decode()


def question(address: str = BRITISH, request_id: str = "r-1") -> bytes:
    """Return a question as Envoy sends it by ext_proc."""
    request = proc.ProcessingRequest()
    attributes = request.attributes["envoy.filters.http.ext_proc"]
    attributes.fields["source.address"].string_value = f"{address}:4711"
    header = request.request_headers.headers.headers.add()
    header.key, header.raw_value = "x-request-id", request_id.encode()
    request.request_headers.end_of_stream = True
    return request.SerializeToString()


class WorkerParts:
    """Everything between a message and its answer, as `Worker` joins it."""

    def __init__(
        self, directory: Path, world: World, changes: Mapping[str, Any], audit: Mapping[str, Any],
        payload: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.world = world
        self.metrics: Metrics = local_metrics()
        self._changes = changes
        networks = {"212.58.244.0/24": {"country": {"iso_code": "GB"}}}  # small, because every log keeps a copy
        self._database = write_mmdb(directory / "country.mmdb", networks, database_type="GeoIP2-Country")
        self.loaded = self._load({})
        runtime = directory / "state"
        runtime.mkdir(exist_ok=True)
        self.page = SharedPage(runtime / "page", create=True)
        self.snapshots = SnapshotWriter(runtime, self.page)
        self.uptake = Uptake(UptakeMetrics.of_steward(self.metrics), world)
        self.publication = Publication(
            Settled.as_configured(self.loaded), self.snapshots, world=world, metrics=self.metrics, uptake=self.uptake
        )
        self.audit = directory / "audit"
        self.inputs = InputStore(self.audit, world)
        spec = small_spec(directory=self.audit, **audit)
        self.keeper = RecordKeeper(
            stream=STREAM, spec=spec, inputs=self.inputs, world=world,
            unavailable=self.metrics.audit_unavailable, on_commit=counting_commits(self.metrics),
        )  # fmt: skip
        self.adopted: list[tuple[View, frozenset[str]]] = []
        self.live = Live(
            page=self.page,
            reader=SnapshotReader(runtime),
            inputs=self.inputs,
            remembered_addresses=64,
            max_age_us=30_000_000,
            adopt=self._adopt,
            now_us=world.now_us,
        )
        self.bodies = body_mode_of(payload, world, self.metrics) if payload is not None else None
        self.processor = Processor(
            live=self.live, keeper=self.keeper, tally=WorkerTally(runtime, 0), world=world, metrics=self.metrics,
            settings=ANSWERS, bodies=self.bodies,
            observation=Observation(self.loaded.config.observe, world, self.metrics),
        )  # fmt: skip

    def _adopt(self, view: View, changed: frozenset[str]) -> None:
        self.adopted.append((view, changed))
        for key, kind, fields in activations(view, changed, self.page.generation):
            self.keeper.announce(key, kind, fields)
        self.processor.adopt(view)

    def _load(self, changes: Mapping[str, Any]) -> Loaded:
        config = {**small_config(REGIONS), "ranking": RANKING, "geoip": {"database": str(self._database)}}
        return load_config(write_config(self.directory, merged(merged(config, self._changes), changes)), environ={})

    def look(self) -> View | None:
        """Ask for the view, as every batch does."""
        return self.live.current(self.world.clock.mono_us())

    async def take(self) -> View:
        """Wait until the newest snapshot is in use."""
        await until(lambda: self.look() is not None and self.live.generation == self.page.generation)
        view = self.live.view
        assert view is not None
        return view

    def reload(self, changes: Mapping[str, Any]) -> None:
        """Publish another configuration."""
        self.publication.replace(self._load(changes))

    async def ask(self, message: bytes | None = None, call: FakeCall | None = None) -> FakeCall:
        """Put one question and wait for its answer."""
        call = call or FakeCall()
        before = len(call.replies)
        self.processor.messages([(call, question() if message is None else message)])
        await until(lambda: len(call.replies) > before or call.failed is not None)
        return call


@asynccontextmanager
async def worker_parts(
    directory: Path,
    *,
    disk: SystemDisk | None = None,
    clock: SystemClock | None = None,
    opened: bool = True,
    changes: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
    **audit: Any,
) -> AsyncIterator[WorkerParts]:
    """Give the parts with the first snapshot taken and the log open, unless `opened` is False.

    `payload` is the section of that name, for body mode.
    """
    parts = WorkerParts(directory, World(clock=clock, disk=disk), changes or {}, audit, payload)
    try:
        if opened:
            parts.keeper.open_soon()
            parts.publication.publish()
            await parts.take()
            await until(lambda: parts.keeper.available)
        yield parts
    finally:
        await parts.keeper.stop(within_s=10)


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.005)
