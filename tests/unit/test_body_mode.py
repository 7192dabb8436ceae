"""Body mode in one loop: what is awaited is bounded and never ends cleanly, and nothing of a body is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from borderpost import body_mode
from borderpost.answers import SEND_BODY
from borderpost.audit.record import parse
from borderpost_base import limits
from borderpost_base.world import SystemClock
from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import StatusCode
from support.audit import FailingDisk, lines_of
from support.worker_parts import BRITISH, CHECK, FakeCall, WorkerParts, question, until, worker_parts

KEY = b"k" * 32
CANARY = "kanarienvogel"
BODY = json.dumps({"model": "m-1", "text": CANARY}).encode()
WAIT_S = 5.0


class Hands(SystemClock):
    """A clock whose monotonic hand a test can move on."""

    ahead_us = 0

    def mono_us(self) -> int:
        return super().mono_us() + self.ahead_us


def payload(directory: Path, **changes: Any) -> dict[str, Any]:
    key = directory / "key"
    key.write_bytes(KEY)
    return {"read": True, "hash_key_file": str(key), "model": "/model", "bytes_max": 1000, "wait_s": WAIT_S, **changes}


def headers(
    *more: tuple[str, str], route: str | None = None, mode: Any = common.ProcessingMode.BUFFERED, end: bool = False
) -> bytes:
    """Return the first message of a request with a body, as Envoy sends it."""
    request = proc.ProcessingRequest.FromString(question())
    request.request_headers.end_of_stream = end
    request.protocol_config.request_body_mode = mode
    if route is not None:
        request.attributes["envoy.filters.http.ext_proc"].fields["xds.route_name"].string_value = route
    for name, value in (("content-type", "application/json"), *more):
        header = request.request_headers.headers.headers.add()
        header.key, header.raw_value = name, value.encode()
    return request.SerializeToString()


def body(content: bytes = BODY) -> bytes:
    """Return the second."""
    request = proc.ProcessingRequest()
    request.request_body.body = content
    request.request_body.end_of_stream = True
    return request.SerializeToString()


def check(content: bytes, *, partial: str | None = "false", mark: bool = True, size: int | None = None) -> bytes:
    """Return a question by ext_authz."""
    asked = authz.CheckRequest()
    http = asked.attributes.request.http
    http.raw_body = content
    http.size = len(content) if size is None else size
    found = [("x-borderpost-client", BRITISH), ("content-type", "application/json")]
    for name, value in [*found, *([("x-envoy-auth-partial-body", partial)] if partial else [])]:
        header = http.header_map.headers.add()
        header.key, header.raw_value = name, value.encode()
    fields = asked.attributes.route_metadata_context.filter_metadata["borderpost"].fields
    fields["route"].string_value = "chat"
    if mark:
        fields["body"].string_value = "buffered"
    return asked.SerializeToString()


def decisions(parts: WorkerParts) -> list[dict[str, Any]]:
    found = [parse(line) for line in lines_of(parts.audit)]
    return [record for record in found if record["type"] == "decision"]


def begin(parts: WorkerParts, message: bytes | None = None) -> FakeCall:
    """Send the headers of a request with a body."""
    call = FakeCall()
    parts.processor.messages([(call, headers() if message is None else message)])
    return call


async def decided(parts: WorkerParts, content: bytes = BODY, *more: tuple[str, str]) -> FakeCall:
    """Send a request in its two messages and return its call, answered."""
    return await parts.ask(body(content), begin(parts, headers(*more)))


def refused(call: FakeCall) -> tuple[int, str]:
    """Return status and reason of a refusal."""
    status, problem = call.refusal
    return status, json.loads(problem)["reason"]


def test_headers_are_answered_by_leave_and_the_body_by_the_decision(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = begin(parts)
            await asyncio.sleep(0.05)
            assert (call.asked, call.answered, decisions(parts)) == ([SEND_BODY], False, [])
            await parts.ask(body(), call)
            assert call.cluster in {"eu-1", "eu-2"}
            assert not call.answer.HasField("request_headers")
            (record,) = decisions(parts)
            named = hmac.digest(KEY, BODY, hashlib.sha256).hex()
            assert record["req"] == {"id": "r-1", "body": {"bytes": len(BODY), "hash": named}}
            assert (record["model"], record["via"]) == ("m-1", "ext_proc")
            assert proc.ProcessingResponse.FromString(SEND_BODY).request_headers.HasField("response")

    asyncio.run(main())


def test_headers_and_body_of_one_batch_are_decided_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = FakeCall()
            parts.processor.messages([(call, headers()), (call, body())])
            await until(lambda: call.answered)
            assert call.cluster is not None and len(decisions(parts)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("second", [question(), headers(), b"\xff", b""])
def test_anything_but_the_body_ends_the_call_with_an_error(tmp_path: Path, second: bytes) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = await parts.ask(second, begin(parts))
            assert call.failed is not None and call.failed[0] is StatusCode.INVALID_ARGUMENT
            parts.processor.messages([(call, body())])  # and no body behind it makes that good
            assert call.replies == [] and decisions(parts) == []
            after = await decided(parts)
            parts.processor.messages([(after, body())])
            assert after.failed is not None and len(after.replies) == 1

    asyncio.run(main())


def test_what_is_awaited_too_long_ends_with_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Hands()
        async with worker_parts(tmp_path, clock=clock, payload=payload(tmp_path)) as parts:
            assert parts.bodies is not None
            early = begin(parts)
            clock.ahead_us += round(WAIT_S * 0.9e6)
            late, gone = begin(parts), begin(parts)
            gone.alive = False
            parts.bodies.look()
            assert (early.failed, late.failed) == (None, None)
            clock.ahead_us += round(WAIT_S * 0.2e6)
            parts.bodies.look()
            assert early.failed is not None and early.failed[0] is StatusCode.DEADLINE_EXCEEDED
            assert (late.failed, gone.failed) == (None, None)
            assert (await parts.ask(body(), late)).cluster is not None
            assert parts.metrics.bodies_total.get("overdue") == 1
            assert parts.bodies._awaited == {} and parts.bodies._awaited_bytes == 0

    asyncio.run(main())


@pytest.mark.parametrize("bound", ["BODIES_AWAITED_MAX", "BODIES_AWAITED_BYTES_MAX"])
def test_so_many_are_awaited_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(limits, bound, 3 if bound == "BODIES_AWAITED_MAX" else 3 * len(headers()))

    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            calls = [begin(parts) for _ in range(4)]
            assert [call.failed is None for call in calls] == [True, True, True, False]
            assert calls[3].failed is not None and calls[3].failed[0] is StatusCode.RESOURCE_EXHAUSTED
            assert (await parts.ask(body(), calls[0])).cluster is not None
            assert begin(parts).failed is None  # there is room again

    asyncio.run(main())


def test_a_log_that_is_lost_in_between_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk, payload=payload(tmp_path)) as parts:
            call = begin(parts)
            disk.fail("fdatasync", 5, times=3)
            await parts.ask(body(), call)
            assert refused(call) == (503, "not-durable")
            disk.heal()

    asyncio.run(main())


def test_a_view_that_is_lost_in_between_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = begin(parts)
            monkeypatch.setattr(parts.live, "current", lambda _mono_us: None)
            await parts.ask(body(), call)
            assert refused(call) == (503, "no-current-policy")

    asyncio.run(main())


def test_law_that_changes_in_between_is_the_law_that_decides(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = begin(parts)
            parts.reload({"evidence": {"default_classes": ["health"]}})
            await parts.take()
            await parts.ask(body(), call)
            assert decisions(parts)[-1]["class"] == ["health"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (headers(mode=common.ProcessingMode.NONE), "body-not-sent"),
        (headers(mode=common.ProcessingMode.STREAMED), "body-not-sent"),
        (headers(mode=common.ProcessingMode.BUFFERED_PARTIAL), "body-not-sent"),
        (headers(mode=common.ProcessingMode.FULL_DUPLEX_STREAMED), "body-not-sent"),
    ],
)
def test_an_envoy_that_means_to_send_no_whole_body_is_refused(tmp_path: Path, message: bytes, reason: str) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            assert refused(await parts.ask(message)) == (503, reason)
            assert decisions(parts)[0]["out"]["code"] == "BP1331"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("message", "status", "reason"),
    [
        (check(BODY, mark=False), 503, "body-not-sent"),
        (check(b"", partial=None, mark=False), 503, "body-not-sent"),
        (check(BODY, partial=None), 503, "body-not-sent"),
        (check(BODY, partial="true"), 413, "body-too-long"),
        (check(BODY, size=len(BODY) + 1), 413, "body-too-long"),
        (check(b"x" * 1001), 413, "body-too-long"),
    ],
)
def test_a_question_without_its_whole_body_is_refused(tmp_path: Path, message: bytes, status: int, reason: str) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            call = await parts.ask(message, FakeCall(CHECK))
            assert call.answer.denied_response.status.code == status
            assert json.loads(call.answer.denied_response.body)["reason"] == reason
            assert (await parts.ask(check(BODY), FakeCall(CHECK))).cluster is not None
            assert (await parts.ask(check(b"", partial=None), FakeCall(CHECK))).cluster is not None

    asyncio.run(main())


def test_only_what_headers_alone_decide_is_recognised(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path, routes=["chat"])) as parts:
            recogniser = parts.processor._entrances[FakeCall().method].recogniser
            assert recogniser is not None
            for message in (headers(route="chat", end=True), headers(route="chat"), headers(end=True)):
                call = begin(parts, message)
                if call.asked:
                    await parts.ask(body(), call)
                await until(lambda answered=call: answered.answered)  # type: ignore[misc]
            assert len(recogniser) == 0
            await parts.ask(headers(route="plain"))
            assert len(recogniser) == 1
            # Alike in all but what is cut out, and yet its body is read: a route that Envoy does not tell is read too.
            assert begin(parts, headers(route="chat")).asked == [SEND_BODY]
            assert begin(parts, headers()).asked == [SEND_BODY]

    asyncio.run(main())


def test_a_bug_in_reading_refuses_and_tells_nothing_of_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_headers: object, content: bytes, _spec: object) -> None:
        try:
            int(content.decode())
        except ValueError as error:
            raise RuntimeError(content.decode()) from error

    monkeypatch.setattr(body_mode, "read_payload", broken)

    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path)) as parts:
            assert refused(await decided(parts)) == (503, "body-not-read")
            assert decisions(parts)[0]["out"]["code"] == "BP1333"
            assert (await parts.ask(check(BODY), FakeCall(CHECK))).answer.denied_response.status.code == 503

    asyncio.run(main())
    told = "".join(capfd.readouterr())
    assert "RuntimeError" in told and CANARY not in told
    assert not [
        path for path in (tmp_path / "audit").rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def test_contradictions_are_refused_or_read_strictly(tmp_path: Path) -> None:
    async def main() -> None:
        said = json.dumps({"model": "m-1", "class": ["health"]}).encode()
        first = payload(tmp_path, data_class="/class")
        async with worker_parts(tmp_path / "a", payload=first) as parts:
            assert refused(await decided(parts, said, ("x-model", "m-2"))) == (400, "body-contradicts:model")
            assert refused(await decided(parts, said, ("x-data-class", "personal"))) == (400, "body-contradicts:class")
        async with worker_parts(tmp_path / "b", payload={**first, "contradiction": "strictest"}) as parts:
            await decided(parts, said, ("x-model", "m-2"), ("x-data-class", "financial"))
            (record,) = decisions(parts)
            assert record["class"] == ["financial", "health", "personal"] and "model" not in record

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    asyncio.run(main())


def test_a_form_that_is_not_read_has_the_assumed_classes_and_those_of_every_detector(tmp_path: Path) -> None:
    changes = {"unread": {"assume": ["health"]}, "detectors": {"email": {"data_class": "financial"}}}

    async def main() -> None:
        async with worker_parts(tmp_path, payload=payload(tmp_path, **changes)) as parts:
            await decided(parts, b"\x1f\x8b", ("content-encoding", "gzip"))
            (record,) = decisions(parts)
            assert record["class"] == ["financial", "health", "personal"]
            assert record["req"]["body"]["unread"] == "content-encoding-not-read"

    asyncio.run(main())
