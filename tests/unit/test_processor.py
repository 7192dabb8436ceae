"""The processor: every question gets exactly one answer, routes only after the record, refuses everything odd."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from borderpost.answers import ExtProcDoor
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.decision import View
from borderpost_base.logs import configure_logs
from borderpost_base.world import SystemClock
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import StatusCode
from support.audit import FailingDisk, lines_of
from support.worker_parts import BRITISH, CHECK, PROCESS, FakeCall, WorkerParts, question, until, worker_parts


def records(parts: WorkerParts, kind: str | None = None) -> list[dict[str, Any]]:
    found = [parse(line) for line in lines_of(parts.audit)]
    return [record for record in found if kind is None or record["type"] == kind]


def message_of(phase: str) -> bytes:
    request = proc.ProcessingRequest()
    getattr(request, phase).SetInParent()
    return request.SerializeToString()


def test_a_question_is_answered_by_a_route_whose_record_is_on_the_disk(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            call = await parts.ask(question(request_id="r-77"))
            assert call.cluster in {"eu-1", "eu-2"}
            decision = call.answer.dynamic_metadata["borderpost"]["decision"]
            (record,) = records(parts, "decision")
            assert (record["req"]["id"], record["via"]) == ("r-77", "ext_proc")
            assert decision == f"{record['epoch']}{record['seq']:012x}"
            assert parts.metrics.decisions_total.get("routed", "ok") == 1

    asyncio.run(main())


def test_check_is_decided_by_the_same_engine(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            asked = authz.CheckRequest()
            asked.attributes.request.http.headers["x-data-residency"] = "GB"
            header = asked.attributes.request.http.header_map.headers.add()
            header.key, header.raw_value = "x-borderpost-client", b"212.58.244.20"
            call = await parts.ask(asked.SerializeToString(), FakeCall(CHECK))
            assert call.cluster in {"eu-1", "eu-2"}, call.answer
            assert records(parts, "decision")[0]["via"] == "ext_authz"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "message", "said"),
    [
        *(
            (PROCESS, message_of(phase), "unexpected phase")
            for phase in ("response_headers", "request_body", "response_body", "request_trailers", "response_trailers")
        ),
        (PROCESS, b"", "unexpected phase: none"),
        (PROCESS, b"\xff\xff\xff", "not a ProcessingRequest"),
        (CHECK, b"\xff\xff\xff", "not a CheckRequest"),
        (CHECK, b"", "without an HTTP request"),
    ],
)
def test_what_is_no_question_ends_with_an_error_and_no_record(
    tmp_path: Path, method: str, message: bytes, said: str
) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            call = await parts.ask(message, FakeCall(method))
            assert call.replies == []
            assert call.failed is not None
            assert call.failed[0] is StatusCode.INVALID_ARGUMENT
            assert said in call.failed[1]
            assert call.failed[1].isascii()
            assert records(parts, "decision") == []

    asyncio.run(main())


def test_a_second_message_on_a_stream_fails_the_stream_and_is_not_decided(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            call = await parts.ask()
            parts.processor.messages([(call, question())])
            assert call.failed is not None and call.failed[0] is StatusCode.INVALID_ARGUMENT
            assert len(call.replies) == 1
            # Two in one batch: the second fails at once, the first gets what a failed call ignores.
            other = FakeCall()
            parts.processor.messages([(other, question()), (other, question())])
            assert other.failed is not None and other.replies == []
            await until(lambda: bool(other.replies))
            assert len(records(parts, "decision")) == 2

    asyncio.run(main())


def test_without_a_snapshot_everything_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, opened=False) as parts:
            call = await parts.ask()
            status, body = call.refusal
            assert (status, json.loads(body)["code"]) == (503, "BP0807")
            assert parts.metrics.unrecorded_total.get("BP0807", "no-current-policy") == 1

    asyncio.run(main())


def test_without_an_open_log_everything_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, opened=False) as parts:
            parts.publication.publish()
            await parts.take()
            call = await parts.ask()
            status, body = call.refusal
            assert (status, json.loads(body)["code"], json.loads(body)["reason"]) == (503, "BP0808", "not-open")

    asyncio.run(main())


@pytest.mark.slow
def test_one_request_that_cannot_be_decided_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = View.answer

    def poisoned(self: View, raw: Any, now_us: int) -> Any:
        if raw.address.startswith("203.0.113.66"):
            raise RuntimeError("a bug")
        return decided(self, raw, now_us)

    monkeypatch.setattr(View, "answer", poisoned)

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            calls = [FakeCall() for _ in range(3)]
            odd = question("203.0.113.66")
            parts.processor.messages(list(zip(calls, (question(), odd, question()), strict=True)))
            await until(lambda: all(call.answered for call in calls))
            assert calls[0].cluster and calls[2].cluster
            status, body = calls[1].refusal
            assert (status, json.loads(body)["code"]) == (503, "BP0810")
            assert "a bug" not in body
            assert len(records(parts, "decision")) == 2

    asyncio.run(main())


@pytest.mark.slow
def test_one_answer_that_cannot_be_made_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ExtProcDoor.template
    broken: list[Any] = []

    def poisoned(self: ExtProcDoor, answer: Any, facts: Any) -> tuple[bytes, ...]:
        if not broken:
            broken.append(answer)
            raise ValueError("a bug")
        return made(self, answer, facts)

    monkeypatch.setattr(ExtProcDoor, "template", poisoned)

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            calls = [FakeCall() for _ in range(3)]
            parts.processor.messages([(call, question()) for call in calls])
            await until(lambda: all(call.answered for call in calls))
            assert calls[0].refusal[0] == 503
            assert calls[1].cluster and calls[2].cluster
            assert len(records(parts, "decision")) == 2

    asyncio.run(main())


def test_one_call_that_cannot_be_answered_keeps_no_other_from_its_answer(tmp_path: Path) -> None:
    class Broken(FakeCall):
        def reply(self, message: bytes) -> None:
            raise RuntimeError("a broken call")

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            calls = [FakeCall(), Broken(), FakeCall()]
            parts.processor.messages([(call, question()) for call in calls])
            await until(lambda: calls[0].answered and calls[2].answered)
            assert calls[0].cluster and calls[2].cluster

    asyncio.run(main())


def test_one_call_that_cannot_be_refused_keeps_no_other_from_its_refusal(tmp_path: Path) -> None:
    class Broken(FakeCall):
        def reply(self, message: bytes) -> None:
            raise RuntimeError("a broken call")

    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            await parts.ask()
            disk.fail("fdatasync", errno.EIO)
            calls = [Broken(), FakeCall()]
            parts.processor.messages([(call, question()) for call in calls])
            await until(lambda: calls[1].answered)
            assert calls[1].refusal[0] == 503

    asyncio.run(main())


@pytest.mark.parametrize(("call", "code"), [("fdatasync", errno.EIO), ("write", errno.ENOSPC)])
def test_a_failed_commit_refuses_the_whole_batch_and_routes_nobody(tmp_path: Path, call: str, code: int) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            await parts.ask()
            disk.fail(call, code, times=3)
            lost = [FakeCall() for _ in range(5)]
            parts.processor.messages([(each, question(request_id="lost")) for each in lost])
            await until(lambda: all(each.answered for each in lost))
            for each in lost:
                status, body = each.refusal
                problem = json.loads(body)
                assert (status, problem["code"], problem["reason"]) == (503, "BP0808", "not-durable")
                assert "decision" not in problem
            refused = await parts.ask()
            reason = json.loads(refused.refusal[1])["reason"]
            assert (refused.refusal[0], reason) == (503, errno.errorcode[code])
            disk.heal()
            await until(lambda: parts.keeper.available)
            assert (await parts.ask(question(request_id="after"))).cluster
            assert [record["req"]["id"] for record in records(parts, "decision")] == ["r-1", "after"]
            assert parts.metrics.unrecorded_total.get("BP0808", "not-durable") == 5

    asyncio.run(main())
    assert verify(tmp_path / "audit").findings == []


def test_announcements_stand_before_the_first_decision_and_again_after_a_failed_commit(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            assert records(parts)[-1]["type"] == "epoch.open"
            disk.fail("fdatasync", errno.EIO)
            assert (await parts.ask()).refusal[0] == 503
            await until(lambda: parts.keeper.available)
            await parts.ask()
            await parts.ask()

    asyncio.run(main())
    kinds = [parse(line)["type"] for line in lines_of(tmp_path / "audit")]
    said = {"policy.activate", "catalog.activate", "geoip.activate", "legal_event.apply"}
    assert kinds[:2] == ["epoch.open", "gap"]
    assert set(kinds[2:6]) == said
    assert kinds[6:] == ["decision", "decision", "epoch.close"]


def test_an_announcement_whose_commit_failed_later_is_made_again(tmp_path: Path) -> None:
    """The first one was durable; a failure in between must not leave the next decision unexplained."""

    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            await parts.ask()
            disk.fail("fdatasync", errno.EIO)
            await parts.ask()
            await until(lambda: parts.keeper.available)
            await parts.ask()

    asyncio.run(main())
    kinds = [parse(line)["type"] for line in lines_of(tmp_path / "audit")]
    assert kinds.count("policy.activate") == 2
    assert kinds.index("gap") < max(n for n, kind in enumerate(kinds) if kind == "policy.activate")
    assert verify(tmp_path / "audit").findings == []


def test_answers_of_a_hung_disk_wait_and_come_when_it_answers(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            await parts.ask()
            disk.hang.clear()
            try:
                call = FakeCall()
                parts.processor.messages([(call, question())])
                await until(lambda: parts.keeper.silent_us() > 50_000)
                assert not call.answered
            finally:
                disk.hang.set()
            await until(lambda: call.answered)
            assert call.cluster
            assert parts.keeper.silent_us() == 0

    asyncio.run(main())


def test_an_event_that_takes_effect_is_announced_once_before_the_decisions_it_changes(tmp_path: Path) -> None:
    class Ahead(SystemClock):
        by_us = 0

        def wall_us(self) -> int:
            return super().wall_us() + self.by_us

    clock = Ahead()

    events = tmp_path / "events.yaml"
    event = {
        "id": "order-1",
        "type": "region_suspend",
        "scope": {"regions": ["eu-1", "us-1"]},
        "effective_from": "2035-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z",
        "source": "a court",
        "reason": "an order",
    }
    events.write_text(json.dumps({"apiVersion": "residency/v1", "kind": "LegalEvents", "events": [event]}))

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock, changes={"events": {"file": "events.yaml"}}) as parts:
            before = await parts.ask()
            assert before.cluster in {"eu-1", "eu-2"}
            clock.by_us = 9 * 366 * 86_400 * 1_000_000
            for _ in range(3):
                assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())
    found = [parse(line) for line in lines_of(tmp_path / "audit")]
    applied = [record for record in found if record["type"] == "legal_event.apply"]
    assert [record.get("event") for record in applied] == [None, "order-1"]
    kinds = [record["type"] for record in found]
    assert kinds[-5:] == ["legal_event.apply", "decision", "decision", "decision", "epoch.close"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_is_logged_without_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    def poisoned(self: View, raw: Any, now_us: int) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(View, "answer", poisoned)
    told = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logs(json=as_json, stream=told)

        async def main() -> None:
            async with worker_parts(tmp_path) as parts:
                assert (await parts.ask(question(BRITISH))).refusal[0] == 503

        asyncio.run(main())
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "RuntimeError: a bug" in told.getvalue()
    assert BRITISH not in told.getvalue()
