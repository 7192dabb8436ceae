"""The limiter's HTTP endpoints: questions in JSON, what they take and refuse, and who may ask."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from borderpost.config.limiter import LimiterAdmin
from borderpost.health import Check, Outcome
from borderpost.limiter.asked_in_json import question
from borderpost.limiter.web import LimiterWeb
from borderpost_base import limits
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import HeaderStyle, ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from support.asgi import asked, no_metrics
from support.ratelimit_files import book_of
from support.ratelimit_parts import NOW_US, WindowStore, limit_of, still_world

LIMITS = """
domain: shop
descriptors:
- key: tenant
  rate_limit: {unit: hour, requests_per_unit: 2}
- key: path
  value: /free
  rate_limit: {unlimited: true}
- key: path
  value: /try
  shadow_mode: true
  rate_limit: {unit: second, requests_per_unit: 1}
"""
RESET = f"{3600 - NOW_US // 1_000_000 % 3600}s"
TOKEN = "0123456789abcdef-token"


class Stage:
    """The endpoints over a service that counts."""

    def __init__(self, folder: Path, admin: dict[str, Any] | None = None, **settings: Any) -> None:
        self.store = WindowStore()
        self.book = book_of(folder, LIMITS)
        self.ready = True
        service = RateLimitService(
            rules=self.book, store=self.store, world=still_world(), statistics=Statistics(),
            settings=ServiceSettings(**settings),
        )  # fmt: skip
        self.web = LimiterWeb(
            LimiterAdmin(**(admin or {})), service, checks=self.checks, book=lambda: self.book,
            metrics=no_metrics, look=self.look,
        )  # fmt: skip

    def checks(self) -> list[Check]:
        return [Check.that("limiter/serving", self.ready, "serving"), Check("limits/current", Outcome.WARNING, "old")]

    async def look(self, _request: object) -> Response:
        return PlainTextResponse("looked\n")

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        return asked(self.web.app, path, headers=headers)

    def ask(self, body: bytes | dict[str, Any], **headers: str) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, told = asked(self.web.app, "/json", method="POST", body=[raw], headers=headers)
        return status, json.loads(told) if told[:1] == b"{" else told


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def asking(*entries: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"domain": "shop", "descriptors": [{"entries": [{"key": k, "value": v} for k, v in entries]}], **more}


def test_a_question_is_answered_and_charged_until_the_limit(stage: Stage) -> None:
    told = [stage.ask(asking(("tenant", "acme"))) for _ in range(3)]
    assert [status for status, _ in told] == [200, 200, 429]
    counted = {"currentLimit": {"requestsPerUnit": 2, "unit": "HOUR"}, "durationUntilReset": RESET}
    assert told[0][1] == {"overallCode": "OK", "statuses": [{"code": "OK", "limitRemaining": 1, **counted}]}
    assert told[2][1] == {"overallCode": "OVER_LIMIT", "statuses": [{"code": "OVER_LIMIT", **counted}]}


def test_names_may_be_written_as_in_the_messages(stage: Stage) -> None:
    assert stage.ask(asking(("tenant", "b"), hits_addend=2))[0] == 200
    assert stage.ask(asking(("tenant", "b"), hitsAddend=1))[0] == 429


def test_values_are_texts_as_in_envoys_message(stage: Stage) -> None:
    """Ours has bytes there, which JSON writes otherwise."""
    stage.ask(asking(("tenant", "YWNtZQ==")))
    stage.ask(asking(("tenant", "ücmé")))
    keys = {charge.key for charges in stage.store.taken for charge in charges}
    assert len(keys) == 2
    assert any("YWNtZQ==" in key for key in keys)
    assert any("ücmé" in key for key in keys)


def test_a_descriptors_own_words_count(stage: Stage) -> None:
    own = asking(("tenant", "c"))
    own["descriptors"][0] |= {"limit": {"requestsPerUnit": 1, "unit": "MINUTE"}, "hitsAddend": "2"}
    status, told = stage.ask(own)
    assert (status, told["statuses"][0]["currentLimit"]) == (429, {"requestsPerUnit": 1, "unit": "MINUTE"})


def test_what_nobody_limits_passes(stage: Stage) -> None:
    assert stage.ask(asking(("nobody", "x"))) == (200, {"overallCode": "OK", "statuses": [{"code": "OK"}]})


def test_headers_are_told_as_texts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, headers=(HeaderStyle.ENVOYPROXY,))
    _, told = stage.ask(asking(("tenant", "a")))
    assert {"key": "RateLimit-Limit", "value": "2"} in told["responseHeadersToAdd"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b'{"domain":' * 5000,
        b'{"domain": "shop", "domain": "shop"}', b'{"domain": 7}', b'{"domian": "shop"}',
        b'{"descriptors": {}}', b'{"descriptors": [7]}', b'{"descriptors": [{"entries": [7]}]}',
        b'{"domain":"shop","descriptors":[{"entries":[{"key":"tenant","value":7}]}]}',
        b'{"domain":"shop","descriptors":[{"entries":[{"key":"tenant","value":"\\ud800"}]}]}',
        b'{"domain":"shop","descriptors":[{"\\udfff":1}]}', b'{"domain":"shop","hits_addend":NaN}',
        b'{"domain":"shop","hits_addend":1e400}', b'{"domain":"shop","hits_addend":18446744073709551616}',
        b'{"domain":"shop","descriptors":[{"entries":[]}]}', b'{"domain":"","descriptors":[]}',
        b'{"domain":"shop","hits_addend":-1}', b'{"domain":"shop","hits_addend":4294967296}',
        b'{"domain":"shop","descriptors":[{"entries":[{"key":"t","value":"v"}],"limit":{"unit":"FORTNIGHT"}}]}',
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_without_a_word_of_it(stage: Stage, body: bytes) -> None:
    status, told = stage.ask(body)
    assert status == 400
    assert set(told) == {"detail"}
    assert "shop" not in told["detail"]
    assert stage.store.taken == []


def test_whatever_json_comes_is_a_question_or_refused() -> None:
    chance = random.Random(8)
    asked = refused = 0
    for _ in range(1500):
        raw = json.dumps(some_question(chance)).encode()
        try:
            question(raw).SerializeToString()
            asked += 1
        except ValueError:
            refused += 1
    assert asked > 20
    assert refused > 100


NAMES = (
    "domain", "descriptors", "hits_addend", "hitsAddend", "entries", "key", "value", "limit", "requests_per_unit",
    "requestsPerUnit", "unit", "unit_multiplier", "unitMultiplier", "isNegativeHits", "", "\ud800",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, 1e300, 1.5, float("nan"), "", "x", "1", "-1", "NaN",
    "MINUTE", "minute", "\x00", "\ud800", "\u00e9", [], {}, [None], {"a": 1},
)  # fmt: skip


def some_question(chance: random.Random) -> dict[str, Any]:
    """Return a question, of which something may be anything."""
    made = asking(("t", "v"))
    odd = chance.choice((made, made["descriptors"][0], made["descriptors"][0]["entries"][0]))
    odd[chance.choice(NAMES)] = anything(chance, 3)
    return made


def anything(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(4) if depth else 0
    if kind == 1:
        return [anything(chance, depth - 1) for _ in range(chance.randrange(3))]
    if kind == 2:
        return {chance.choice(NAMES): anything(chance, depth - 1) for _ in range(chance.randrange(4))}
    return chance.choice(VALUES)


def test_a_question_may_be_so_long(stage: Stage) -> None:
    padding = b" " * limits.LIMITER_JSON_BYTES_MAX
    assert stage.ask(padding + b"{}")[0] == 413


def test_a_store_without_an_answer_is_no_answer(stage: Stage) -> None:
    stage.store.unanswered = Unanswered("timeout")
    status, told = stage.ask(asking(("tenant", "a")))
    assert (status, told) == (503, {"detail": "the store of counters has no answer: timeout"})


def test_a_service_that_does_not_answer_is_waited_for_so_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITER_JSON_S_MAX", 0.01)
    stage.store.held = []
    assert stage.ask(asking(("tenant", "a")))[0] == 503
    stage.store.release()  # an answer to nobody is lost


def test_the_limits_in_force_are_told_a_line_each(stage: Stage) -> None:
    assert stage.get("/rlconfig")[1].decode().splitlines() == [
        "shop.tenant: unit=HOUR requests_per_unit=2, shadow_mode: false, quota_mode: false",
        "shop.path_/free: unlimited, shadow_mode: false, quota_mode: false",
        "shop.path_/try: unit=SECOND requests_per_unit=1, shadow_mode: true, quota_mode: false",
    ]


def test_limits_of_our_own_are_told_with_all_that_they_say() -> None:
    from borderpost.limiter.told_limits import told_limit

    bucket = limit_of(
        10, Unit.UNKNOWN, algorithm=Algorithm.TOKEN_BUCKET, window_us=2_500_000, burst=20, price_nano=3
    )  # fmt: skip
    assert told_limit(bucket) == "algorithm=token_bucket amount=10 window_s=2.5 burst=20 price_nano=3"


def test_health_is_told_as_envoyproxys_and_as_ours(stage: Stage) -> None:
    assert stage.get("/healthcheck") == (200, b"OK")
    assert stage.get("/readyz") == (200, b"ok\nwarning: limits/current: old\n")
    assert stage.get("/livez") == (200, b"ok\n")
    stage.ready = False
    assert stage.get("/healthcheck") == (500, b"")
    assert stage.get("/readyz")[0] == 503
    assert stage.get("/livez") == (200, b"ok\n")


def test_only_posts_are_questions(stage: Stage) -> None:
    assert stage.get("/json")[0] == 405
    assert stage.get("/look")[0] == 405
    assert stage.get("/nothing")[0] == 404


def test_behind_a_token_only_health_is_open(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "limits").mkdir()
    stage = Stage(tmp_path / "limits", {"host": "192.0.2.1", "token_file": tmp_path / "token"})
    for path in ("/rlconfig", "/metrics"):
        assert stage.get(path)[0] == 401
        assert stage.get(path, authorization="Bearer wrong-wrong-wrong-wrong")[0] == 401
        assert stage.get(path, authorization=f"Bearer {TOKEN}")[0] == 200
    assert stage.ask(asking(("tenant", "a")))[0] == 401
    assert asked(stage.web.app, "/look", method="POST")[0] == 401
    assert stage.store.taken == []
    assert stage.ask(asking(("tenant", "a")), authorization=f"Bearer {TOKEN}")[0] == 200
    assert stage.get("/healthcheck") == (200, b"OK")
    assert stage.get("/readyz") == (200, b"ok\n")
