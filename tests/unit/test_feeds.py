"""Feeds and triggers: what fires, once, from now on, only narrowing; who may say so, and how it is told."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from structlog.testing import capture_logs

from borderpost.admin.feeds import feeds_route
from borderpost.config.events import EventsSection
from borderpost.config.load import load_config
from borderpost.events.feeds import FeedMessage, is_signed, read_message, signature_of
from borderpost.events.triggers import fault_of_fired
from borderpost.feeds import Feeds
from borderpost.law_watch import LawWatch
from borderpost.policy.fields import format_instant, to_us
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.metrics import local_metrics
from borderpost_base.world import SystemClock, World
from support.asgi import asked
from support.borderpost_process import write_config
from support.signed_lists import BEGINNING, ListWriter
from support.triggered_law import TriggeredLaw

SECRET = b"0123456789abcdef"
NOW = BEGINNING + timedelta(days=30)


class Clock(SystemClock):
    """Stands still until it is set."""

    now = NOW

    def wall_us(self) -> int:
        return to_us(self.now)

    def mono_us(self) -> int:
        return to_us(self.now)


class Parts:
    def __init__(self, directory: Path, *, written: ListWriter | None = None, **feeds: Any) -> None:
        (directory / "secret").write_bytes(SECRET + b"\n")
        if written is None:
            written = ListWriter()
            written.trigger("war")
        self.clock, self.law, self.metrics = Clock(), TriggeredLaw(written), local_metrics()
        self.published = True
        self.section = EventsSection.model_validate(
            {"feeds": feeds or {"alerts": {"webhook": {"secret_file": directory / "secret"}}}}
        )
        self.feeds = Feeds(
            self.section, law=cast(LawWatch, self.law), is_published=lambda: self.published,
            world=World(clock=self.clock), metrics=self.metrics,
        )  # fmt: skip

    def hear(self, value: Any, *, ago_s: float = 0) -> list[str]:
        return self.feeds.hear("alerts", FeedMessage(value, self.clock.now - timedelta(seconds=ago_s)))

    def in_force(self) -> tuple[str, ...]:
        return self.law.book.current().in_force(to_us(self.clock.now))

    def wait(self, seconds: float) -> None:
        self.clock.now += timedelta(seconds=seconds)

    def post(
        self, raw: bytes, *, name: str = "alerts", signature: str | None = None, pieces: int = 1
    ) -> tuple[int, Any]:
        app = Starlette(routes=[feeds_route(self.feeds.deliver)])
        headers = {"x-feed-signature": signature_of(raw, SECRET) if signature is None else signature}
        cut = [raw[len(raw) * n // pieces : len(raw) * (n + 1) // pieces] for n in range(pieces)]
        status, body = asked(app, f"/feeds/{name}", method="POST", body=cut, headers=headers)
        return status, json.loads(body)

    def said(self, value: Any, *, ago_s: float = 0) -> bytes:
        return json.dumps({"value": value, "at": format_instant(self.clock.now - timedelta(seconds=ago_s))}).encode()


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_a_condition_that_holds_fires_what_was_signed_from_now_on(parts: Parts) -> None:
    assert parts.hear(7) == []
    (fired,) = parts.hear(8, ago_s=2)
    (event,) = parts.law.fired
    assert (event.id, event.trigger, event.approvals) == (fired, "war", ())
    assert (event.effective_from, event.recorded_at) == (NOW - timedelta(seconds=2), NOW)
    assert event.effective_until == event.effective_from + timedelta(hours=1)
    assert fault_of_fired(event, parts.law.triggers[0]) is None
    assert parts.in_force() == (fired,)
    assert parts.metrics.triggers_fired_total.get("war") == 1


def test_the_same_message_twice_or_by_two_gateways_is_one_event(tmp_path: Path) -> None:
    one, other = Parts(tmp_path), Parts(tmp_path)
    assert one.hear(9) == one.hear(9)
    other.wait(1)
    assert other.hear(9, ago_s=1) == [one.law.fired[0].id]
    assert len(one.law.fired) == len(other.law.fired) == 1


def test_a_feed_that_goes_back_ends_nothing_and_one_that_goes_on_fires_nothing_new(parts: Parts) -> None:
    (fired,) = parts.hear(8)
    for value in (0, 9, 8, "quiet"):
        parts.wait(60)
        assert parts.hear(value) == ([fired] if value in (8, 9) else [])
        assert parts.in_force() == (fired,)
    assert len(parts.law.fired) == 1


def test_once_its_time_is_over_the_next_message_fires_anew(parts: Parts) -> None:
    (first,) = parts.hear(8)
    parts.wait(3601)
    parts.feeds.look()
    assert parts.in_force() == ()
    (second,) = parts.hear(8)
    assert second != first
    assert parts.in_force() == (second,)


def test_what_people_lifted_is_fired_again_only_after_the_feed_went_back(parts: Parts) -> None:
    (fired,) = parts.hear(8)
    parts.wait(10)
    written, (event,) = parts.law.written, parts.law.fired
    body = event.model_dump(mode="json", exclude_none=True, exclude={"recorded_at", "approvals"})
    body["scope"] = {"regions": ["eu-1"]}
    written.put("event", body, at=event.recorded_at)
    written.add("lifted", "ada", "bo", at=parts.clock.now, type="lift", scope={}, ends=fired, effective_from=NOW)
    parts.law.read()
    assert parts.in_force()
    parts.wait(10)
    assert parts.hear(9) == []
    parts.wait(10)
    assert parts.hear(0) == []
    parts.wait(10)
    (again,) = parts.hear(9)
    assert again != fired
    assert parts.hear(9, ago_s=30) == [again]  # the one that was lifted fires nothing more


def test_an_earlier_message_that_comes_late_still_fires(parts: Parts) -> None:
    assert parts.hear(0) == []
    (fired,) = parts.hear(8, ago_s=120)
    assert parts.in_force() == (fired,)


def test_a_message_dated_ahead_holds_at_once(parts: Parts) -> None:
    (fired,) = parts.hear(8, ago_s=-200)
    assert parts.in_force() == (fired,)


def test_a_trigger_fires_before_its_last_instant_only(tmp_path: Path) -> None:
    written = ListWriter()
    written.trigger("war", valid_until=NOW)
    parts = Parts(tmp_path, written=written)
    assert parts.hear(8) == []
    parts.clock.now -= timedelta(microseconds=1)
    other = Parts(tmp_path, written=written)
    other.clock.now = parts.clock.now
    assert len(other.hear(8)) == 1


def test_a_trigger_that_comes_later_is_weighed_by_what_was_said(parts: Parts) -> None:
    parts.law.triggers, signed = (), parts.law.triggers
    parts.feeds.look()
    assert parts.hear(8) == []
    parts.wait(5)
    parts.law.triggers = signed
    parts.feeds.look()
    assert [event.trigger for event in parts.law.fired] == ["war"]
    parts.feeds.look()
    assert len(parts.law.fired) == 1


@pytest.mark.parametrize(
    ("when", "fires", "spares"),
    [
        ({"at_least": 8}, [8, 8.5, 10**6], [7, 7.9, True, "8", False]),
        ({"equals": "red"}, ["red"], ["Red", "", 1]),
        ({"equals": True}, [True], [1, "true", False]),
        ({"equals": 1}, [1, 1.0], [True, "1", 1.1]),
    ],
)
def test_a_condition_means_what_it_says(
    tmp_path: Path, when: dict[str, Any], fires: list[Any], spares: list[Any]
) -> None:
    written = ListWriter()
    written.trigger("war", when={"feed": "alerts", **when})
    for value in fires:
        assert Parts(tmp_path, written=written).hear(value), value
    for value in spares:
        assert not Parts(tmp_path, written=written).hear(value), value


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b'{"value":1}', b'{"at":"2026-01-31T00:00:00Z"}',
        b'{"value":1,"at":"2026-01-31T00:00:00Z","more":1}', b'{"value":null,"at":"2026-01-31T00:00:00Z"}',
        b'{"value":[1],"at":"2026-01-31T00:00:00Z"}', b'{"value":NaN,"at":"2026-01-31T00:00:00Z"}',
        b'{"value":1,"at":"2026-01-31T00:00:00"}', b'{"value":1,"at":1769817600}', b'{"value":1,"at":"soon"}',
        b'{"value":1,"at":"0001-01-01T00:00:00+23:00"}', b"\xff\xfe", b"[" * 4000,
        b'{"value":"' + b"x" * 4096 + b'","at":"2026-01-31T00:00:00Z"}',
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(parts: Parts, raw: bytes) -> None:
    with pytest.raises(BorderpostError) as caught:
        read_message(raw, "test")
    assert caught.value.code == "BP1030"
    status, told = parts.post(raw)
    assert (status, told.get("code")) in {(400, "BP1030"), (413, None)}
    assert parts.law.fired == []


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    try:
        read_message(raw, "test")
    except BorderpostError as error:
        assert error.code == "BP1030"


def test_a_webhook_s_message_is_answered_once_it_is_taken(parts: Parts) -> None:
    raw = parts.said(8)
    status, told = parts.post(raw, pieces=3)
    assert (status, told) == (200, {"feed": "alerts", "in_force": [parts.law.fired[0].id]})
    assert parts.post(raw) == (status, told)
    assert len(parts.law.fired) == 1
    assert parts.metrics.feed_messages_total.get("alerts", "heard") == 2
    parts.published = False
    with capture_logs():
        assert parts.post(parts.said(9)) == (503, {"code": "BP1033", "detail": "not taken; the gateway's log says why"})


def test_only_the_sender_is_heard_and_only_about_now(parts: Parts, tmp_path: Path) -> None:
    raw = parts.said(8)
    signed = signature_of(raw, SECRET)
    forged = ["", "sha256=", signed.removeprefix("sha256="), signed.upper(), signed[:-1], signed + "0", "ü" * 71]
    forged += [signature_of(raw, SECRET + b"!"), signature_of(raw + b" ", SECRET)]
    for signature in forged:
        if signature.isascii():
            assert parts.post(raw, signature=signature)[0] == 403, signature
        assert not is_signed(raw, SECRET, signature)
    for ago_s in (301, -301, 86_400):
        status, told = parts.post(parts.said(8, ago_s=ago_s))
        assert (status, told["code"]) == (403, "BP1032")
    assert parts.law.fired == []
    assert parts.post(raw, name="other")[0] == 404
    assert parts.post(b" " * (limits.FEED_MESSAGE_BYTES_MAX + 1), pieces=5)[0] == 413
    for ago_s in (300, -300):
        assert parts.post(parts.said(0, ago_s=ago_s))[0] == 200
    (tmp_path / "secret").unlink()
    assert parts.post(raw)[1]["code"] == "BP1031"
    assert SECRET.decode() not in json.dumps([parts.feeds.checks()], default=str)


def test_a_feed_that_is_no_webhook_cannot_be_posted_to(tmp_path: Path) -> None:
    parts = Parts(tmp_path, alerts={"file": tmp_path / "alerts.json"})
    assert parts.post(parts.said(8))[0] == 404


def test_a_file_is_heard_when_it_changes_and_told_when_it_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "alerts.json"
    parts = Parts(tmp_path, alerts={"file": file})
    with capture_logs() as told:
        parts.feeds.look()
        parts.feeds.look()
    assert [line["code"] for line in told] == ["BP1030"]
    assert [check.name for check in parts.feeds.checks()] == ["feed/alerts"]
    file.write_bytes(parts.said(8)[:-1])
    for _ in range(2):
        parts.feeds.look()
    assert parts.law.fired == []
    file.write_bytes(parts.said(8))
    for _ in range(2):
        parts.feeds.look()
    assert len(parts.law.fired) == 1
    assert parts.feeds.checks() == []
    again = Parts(tmp_path, alerts={"file": file})  # what lies there when a gateway starts counts
    again.wait(1000)
    again.feeds.look()
    assert again.law.fired[0].id == parts.law.fired[0].id


def test_triggers_that_wait_for_nobody_are_told(tmp_path: Path) -> None:
    parts = Parts(tmp_path, another={"file": tmp_path / "none.json"})
    assert any("`war` waits for it" in check.detail for check in parts.feeds.checks())


def test_another_configuration_keeps_what_was_said(tmp_path: Path) -> None:
    async def main() -> None:
        parts = Parts(tmp_path)
        (fired,) = parts.hear(8)
        file = {"file": tmp_path / "more.json"}
        section = {"feeds": {**parts.section.model_dump()["feeds"], "more": file}}
        parts.feeds.replace(EventsSection.model_validate(section))
        assert parts.hear(9) == [fired]
        parts.feeds.replace(EventsSection())
        with pytest.raises(KeyError):
            await parts.feeds.deliver("alerts", parts.said(8), "")
        await parts.feeds.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("feeds", "told"),
    [
        ({"a": {}}, "one of them"),
        ({"a": {"file": "x", "stream": "y"}}, "one of them"),
        ({"a": {"stream": "y"}}, "needs `redis`"),
        ({"A": {"file": "x"}}, "match pattern"),
        ({"a": {"webhook": {}}}, "Field required"),
    ],
)
def test_what_is_no_feed_is_refused(feeds: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        EventsSection.model_validate({"feeds": feeds})


def test_a_webhook_without_a_secret_of_its_own_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("guess me\n")
    (tmp_path / "good").write_bytes(SECRET)
    (tmp_path / "same").write_bytes(SECRET + b"\n")
    feeds = {name: {"webhook": {"secret_file": name}} for name in ("good", "short", "missing", "same")}
    config = {"here": {"country": "DE"}, "regions": {"eu-1": {"country": "DE", "retention": "same"}}}
    path = write_config(tmp_path, {**config, "region_defaults": {"telemetry": "same"}, "events": {"feeds": feeds}})
    with pytest.raises(Problems) as caught:
        load_config(path, environ={})
    told = {error.place.key: error for error in caught.value.errors}
    assert {error.code for error in told.values()} == {"BP1031"}
    assert told.keys() == {f"events.feeds.{name}.webhook.secret_file" for name in ("short", "missing", "same")}
    assert all(error.place.line for error in told.values())
    assert "feeds `good` and `same` share one secret" in told["events.feeds.same.webhook.secret_file"].detail
