"""Probes against real servers on this machine: up, down, slow, flapping, strange; and a clean end of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from borderpost.regions.config import ProbeSpec
from borderpost.regions.probe import Prober, RegionHealth
from borderpost.regions.probe_once import ProbeResult, probe_once
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost_base.world import SystemClock, World

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Upstream:
    """A server that says what it is told to, and keeps what it was asked."""

    def __init__(self, answer: bytes | None = OK, *, delay_s: float = 0.0) -> None:
        self.answer = answer
        self.delay_s = delay_s
        self.asked: list[bytes] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(self.delay_s)
            if self.answer is not None:
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a tcp probe, or one that has given up
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, host: str = "127.0.0.1") -> AsyncIterator[Upstream]:
        server = await asyncio.start_server(self.serve, host, 0)
        port = server.sockets[0].getsockname()[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        async with server:
            yield self


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.sleep(0.02)
        assert not [task for task in left if not task.done() and "probe" in task.get_name()]

    asyncio.run(whole())


def closed_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def spec_of(address: str, **more: Any) -> ProbeSpec:
    return ProbeSpec(address=address, **{"interval_s": 0.1, "timeout_s": 0.1, **more})


def once(upstream: Upstream, host: str = "127.0.0.1", **more: Any) -> ProbeResult:
    async def probe() -> ProbeResult:
        async with upstream.running(host):
            return await probe_once(spec_of(upstream.address, **more), SystemClock())

    return asyncio.run(probe())


def test_healthy_http() -> None:
    upstream = Upstream()
    result = once(upstream, path="/health?deep=1")
    assert (result.ok, result.outcome, result.status) == (True, "ok", 200)
    assert result.latency_us is not None and 0 < result.latency_us < 100_000
    assert upstream.asked == [
        b"GET /health?deep=1 HTTP/1.1\r\nhost: %b\r\nuser-agent: borderpost-probe\r\naccept: */*\r\n"
        b"connection: close\r\n\r\n" % upstream.address.encode()
    ]


def test_host_header_of_ones_own() -> None:
    upstream = Upstream()
    assert once(upstream, host="127.0.0.1").ok
    upstream = Upstream()

    async def probe() -> ProbeResult:
        async with upstream.running():
            return await probe_once(spec_of(upstream.address, host="inference.example"), SystemClock())

    assert asyncio.run(probe()).ok
    assert b"\r\nhost: inference.example\r\n" in upstream.asked[0]


@pytest.mark.parametrize(
    ("answer", "expect", "outcome", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (200, 204), "ok", 204),
        (b"HTTP/1.0 200 \r\n\r\n", (200,), "ok", 200),
        (b"HTTP/1.1 200\r\n\r\n", (200,), "ok", 200),
        (b"HTTP/1.1 200 OK\n\n", (200,), "ok", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (200,), "status", 204),
        (b"HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n", (200,), "status", 302),
        (b"HTTP/1.1 503 Down\r\n\r\n", (200,), "status", 503),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200,), "status", 100),
        (b"", (200,), "malformed", None),
        (b"HTTP/1.1 200 OK", (200,), "malformed", None),
        (b"HTTP/2 200\r\n\r\n", (200,), "malformed", None),
        (b"HTTP/1.1 2000 OK\r\n\r\n", (200,), "malformed", None),
        (b" HTTP/1.1 200 OK\r\n\r\n", (200,), "malformed", None),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", (200,), "malformed", None),
        (b"HTTP/1.1 200 \x00\r\n\r\n", (200,), "malformed", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", (200,), "malformed", None),
        (b"HTTP/1.1 200 " + b"x" * 100_000, (200,), "malformed", None),
    ],
)
def test_answers(answer: bytes, expect: tuple[int, ...], outcome: str, status: int | None) -> None:
    result = once(Upstream(answer), expect=expect)
    assert (result.outcome, result.status, result.ok) == (outcome, status, outcome == "ok")


def test_tcp_is_content_with_a_connection() -> None:
    assert once(Upstream(b""), kind="tcp").outcome == "ok"
    result = asyncio.run(probe_once(spec_of(closed_address(), kind="tcp"), SystemClock()))
    assert result == ProbeResult("refused")


def test_slow_and_silent_servers_time_out() -> None:
    result = once(Upstream(delay_s=0.3))
    assert result.outcome == "timeout"
    assert result.latency_us is not None, "it did connect"


def test_ipv6_and_names() -> None:
    assert once(Upstream(), host="127.0.0.1").ok

    async def probes() -> tuple[ProbeResult, ProbeResult, ProbeResult]:
        async with Upstream().running("::1") as six, Upstream().running() as four:
            port = four.address.rpartition(":")[2]
            with_name = spec_of(f"localhost:{port}", timeout_s=2, interval_s=2)
            nobody = spec_of("name.invalid:80", timeout_s=5, interval_s=5)
            return (
                await probe_once(spec_of(six.address), SystemClock()),
                await probe_once(with_name, SystemClock()),
                await probe_once(nobody, SystemClock()),
            )

    six, named, nobody = asyncio.run(probes())
    assert six.ok
    assert named.outcome in {"ok", "refused"}, "localhost may be ::1 first, where nobody listens"
    assert nobody.outcome in {"unresolved", "timeout"}


def health(**more: Any) -> RegionHealth:
    return RegionHealth(spec_of("127.0.0.1:1", **more))


def fed(region: RegionHealth, results: str) -> str:
    """Feed `+` and `-`; return the state after each as `U`, `D`."""
    states = ""
    for letter in results:
        region.note(ProbeResult("ok", 1000) if letter == "+" else ProbeResult("refused"))
        states += region.signal.state.value[0].upper()
    return states


@pytest.mark.parametrize(
    ("thresholds", "results", "states"),
    [
        ((2, 2), "+-+-+--++", "UUUUUUDDU"),
        ((2, 2), "-++", "DDU"),
        ((2, 2), "--+-+-++", "DDDDDDDU"),
        ((1, 1), "+-+-", "UDUD"),
        ((3, 1), "+-++-+++", "UDDDDDDU"),
        ((1, 3), "+--+---", "UUUUUUD"),
    ],
)
def test_thresholds(thresholds: tuple[int, int], results: str, states: str) -> None:
    assert fed(health(healthy_after=thresholds[0], unhealthy_after=thresholds[1]), results) == states


def test_latency_is_the_median_of_the_last_five_and_settles() -> None:
    region = health()
    changes = [region.note(ProbeResult("ok", us)) for us in (1000, 1040, 1020, 90_000, 95_000, 1010)]
    assert changes == [True, False, False, False, False, False]
    assert region.signal == RegionSignal(State.UP, 1000)
    assert [region.note(ProbeResult("ok", 20_000)) for _ in range(3)] == [True, False, False]
    assert region.signal.latency_us == 20_000
    region.note(ProbeResult("refused"))
    region.note(ProbeResult("refused"))
    assert region.signal == RegionSignal(State.DOWN, 20_000), "the last figure is kept, but down is never chosen"


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def test_prober_finds_up_and_down_and_tells_of_changes() -> None:
    async def test() -> None:
        published: list[Signals] = []
        seen: list[tuple[str, bool]] = []
        async with Upstream().running() as good, Upstream().running() as other:
            prober = Prober(
                {"good": spec_of(good.address), "other": spec_of(other.address), "gone": spec_of(closed_address())},
                World(),
                on_change=published.append,
                on_probe=lambda region, result: seen.append((region, result.ok)),
            )
            assert {signal.state for signal in prober.snapshot().regions.values()} == {State.UNKNOWN}
            prober.start()
            await asyncio.wait_for(prober.first_round(), 5)
            states = {region: signal.state for region, signal in published[-1].regions.items()}
            assert states == {"good": State.UP, "other": State.UP, "gone": State.DOWN}
            other.answer = b"HTTP/1.1 500 Broken\r\n\r\n"
            await until(lambda: published[-1].of("other").state is State.DOWN)
            assert [ok for region, ok in seen if region == "other"][-2:] == [False, False]
            other.answer = OK
            await until(lambda: published[-1].of("other").state is State.UP)
            assert published[-1].of("good").state is State.UP
            await prober.stop()
            seeds = [signals.seed for signals in published]
            assert len(set(seeds)) == len(seeds)
            count = len(good.asked)
            await asyncio.sleep(0.25)
            assert len(good.asked) == count, "nothing is probed after the end"

    run(test)


def test_nothing_is_published_while_nothing_changes() -> None:
    async def test() -> None:
        published: list[Signals] = []
        probes = 0

        def count(region: str, result: ProbeResult) -> None:
            nonlocal probes
            probes += 1

        prober = Prober({"gone": spec_of(closed_address())}, World(), on_change=published.append, on_probe=count)
        prober.start()
        await until(lambda: probes >= 5)
        await prober.stop()
        assert len(published) == 1

    run(test)


def test_hanging_server_is_down_and_stop_does_not_wait_for_it() -> None:
    async def test() -> None:
        async with Upstream(answer=None, delay_s=30).running() as hanging:
            published: list[Signals] = []
            spec = spec_of(hanging.address, timeout_s=0.2, interval_s=0.2, unhealthy_after=1)
            prober = Prober({"slow": spec}, World(), on_change=published.append)
            prober.start()
            await until(lambda: bool(published))
            assert published[-1].of("slow").state is State.DOWN
            asked = len(hanging.asked)
            await until(lambda: len(hanging.asked) > asked)
            began = asyncio.get_running_loop().time()
            await prober.stop()
            assert asyncio.get_running_loop().time() - began < 0.15

    run(test)


def test_nothing_to_probe() -> None:
    async def test() -> None:
        prober = Prober({}, World(), on_change=lambda signals: pytest.fail("nothing changes"))
        assert prober.first_round_done
        prober.start()
        with pytest.raises(RuntimeError):
            prober.start()
        await asyncio.sleep(0.05)
        await prober.stop()
        await prober.stop()

    run(test)


def test_snapshot_that_cannot_be_written_is_offered_again() -> None:
    async def test() -> None:
        offered: list[Signals] = []

        def publish(signals: Signals) -> None:
            offered.append(signals)
            if len(offered) < 3:
                raise OSError(28, "No space left on device")

        prober = Prober({"gone": spec_of(closed_address())}, World(), on_change=publish)
        prober.start()
        await asyncio.wait_for(prober.first_round(), 5)
        assert len(offered) == 3
        await prober.stop()

    run(test)


def test_bug_in_a_listener_is_told_to_the_loop() -> None:
    async def test() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

        def broken(signals: Signals) -> None:
            raise ZeroDivisionError

        prober = Prober({"gone": spec_of(closed_address())}, World(), on_change=broken)
        prober.start()
        await until(lambda: bool(told))
        assert isinstance(told[0]["exception"], ExceptionGroup)
        assert not prober.first_round_done
        await prober.stop()

    run(test)
