"""`borderpost ratelimit check` and `explain`: what they say, what they exit with, and what is asked of a limiter."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from borderpost.cli.main import main
from borderpost.limiter.looked_at import looked_at
from borderpost_base import limits
from borderpost_ratelimit.charges import Charge, Done, Unanswered
from borderpost_ratelimit.files import Book
from borderpost_ratelimit.stores.memory import MemoryStore
from support.asgi import asked
from support.ratelimit_files import book_of, written
from support.ratelimit_parts import NOW_US, still_world

LIMITS = """\
domain: shop
descriptors:
  - key: path
    value: /api/*
    rate_limit: {unit: minute, requests_per_unit: 5}
    descriptors:
      - key: user
        rate_limit: {unit: hour, requests_per_unit: 2000, name: users}
  - key: kind
    descriptors:
      - key: user
        value_to_metric: true
        shadow_mode: true
        rate_limit: {unit: day, requests_per_unit: 9, replaces: [{name: users}]}
  - key: free
    rate_limit: {unlimited: true}
  - {key: free, value: not}
  - {key: ratio, quota_mode: true, rate_limit: {unit: day, requests_per_unit: 1}}
"""
MANY = """\
format: borderpost/1
domain: llm
descriptors:
  - key: tenant
    limits:
      - {algorithm: token_bucket, amount: 600, every: minute, burst: 50}
      - {algorithm: concurrency, amount: 20, hold: 5m}
      - {algorithm: fixed_window, amount: 3, every: 90s}
      - {algorithm: fixed_window, amount: 4, every: 250ms}
"""


WAY = """\
path=/api/v1, user=ann
  path=/api/v1 meets `path_/api/*` by wildcard (limits/a.yaml:3)
  user=ann meets `user` by key (limits/a.yaml:7)
  rule     shop.path_/api/*.user
  replaced another rule of this request replaces `users`: this one does not count
  effect   being over refuses the request
  limit    2,000 an hour
  counter  4:shop4:path7:/api/v14:user3:annf3600

kind=read, user=ann
  kind=read meets `kind` by key (limits/a.yaml:9)
  user=ann meets `user` by key (limits/a.yaml:11)
  rule     shop.kind.user
  effect   shadow mode: being over refuses nothing, and is counted
  metric   shop.kind.user_ann
  limit    9 a day
  counter  4:shop4:kind4:read4:user3:annf86400

free=
  free= meets `free` by key (limits/a.yaml:15)
  rule     shop.free
  effect   it is unlimited: it passes, and is counted in the statistics

ratio=1
  ratio=1 meets `ratio` by key (limits/a.yaml:18)
  rule     shop.ratio
  effect   quota mode: being over refuses only if all of the request's descriptors in quota mode are over
  limit    1 a day
  counter  4:shop5:ratio1:1f86400
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["ratelimit", *words])
    return (code, *capsys.readouterr())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return written(Path("limits"), LIMITS)


def test_check_says_what_the_files_amount_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, LIMITS, MANY)
    code, out, err = run(capsys, "check", "limits", "--rules")
    assert (code, err) == (0, "")
    assert [re.split(r" {2,}", line) for line in out.splitlines()] == [
        ["2 files: in order"],
        ["", "domains", "llm, shop"],
        ["", "rules", "6"],
        [""],
        ["rule", "limit", "mode"],
        ["shop.path_/api/*", "5 a minute"],
        ["shop.path_/api/*.user", "2,000 an hour"],
        ["shop.kind.user", "9 a day", "shadow"],
        ["shop.free", "unlimited"],
        ["shop.ratio", "1 a day", "quota"],
        [
            "llm.tenant",
            "600 a minute, token bucket of 50; 20 at once, each for 300 s at most; 3 in 90 s; 4 in 250 ms",
        ],
    ]


def test_check_tells_mistakes_with_line_and_nearest_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, LIMITS.replace("unit: hour", "unit: huor").replace("shadow_mode", "shadow_mod"))
    code, out, err = run(capsys, "check", "limits")
    assert (code, out) == (1, "")
    assert "limits/a.yaml:8:22: descriptors[0].descriptors[0].rate_limit.unit" in err
    assert "did you mean `hour`?" in err
    assert "limits/a.yaml:13:9" in err
    assert "did you mean `shadow_mode`?" in err


def test_check_exits_by_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doubtful = written(Path("doubtful"), "domain: d\nunit: day\n")
    assert run(capsys, "check", str(folder), "--fail-on", "warning")[0] == 0
    code, _, err = run(capsys, "check", str(doubtful))
    assert code == 0
    assert "warning[BP1613]" in err
    assert run(capsys, "check", str(doubtful), "--fail-on", "warning")[0] == 1
    assert run(capsys, "check", "none.yaml")[0] == 2
    twice = (
        "check",
        str(folder / "a.yaml"),
        str(written(Path("more"), LIMITS.replace("key: ", "key: a")) / "a.yaml"),
    )
    assert run(capsys, *twice)[0] == 1
    assert run(capsys, *twice, "--merge-domains")[0] == 0


def test_check_tells_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", str(folder), "--json", "--rules")
    told = json.loads(out)
    assert (code, told["command"], told["errors"], told["warnings"]) == (0, "ratelimit check", [], [])
    assert [rule["rule"] for rule in told["rule_list"]] == [rule.path for rule in book_of(folder).rules]
    assert told["rule_list"][1]["limits"][0] == {
        "algorithm": "fixed_window", "amount": 2000, "window_us": 3_600_000_000, "binding": True,
        "scope": "region", "when_store_away": "local",
    }  # fmt: skip
    (folder / "a.yaml").write_text("domain: d\nunit: dya\nx: 1\n")
    code, out, _ = run(capsys, "check", str(folder), "--format", "sarif")
    results = json.loads(out)["runs"][0]["results"]
    assert (code, {result["ruleId"]: result["level"] for result in results}) == (
        1, {"BP0102": "error", "BP1613": "warning"},
    )  # fmt: skip


def test_explain_tells_the_way(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("path=/api/v1,user=ann", "kind=read,user=ann", "free=", "ratio=1")
    code, out, err = run(capsys, "explain", "limits", *(word for each in asked for word in ("-d", each)))
    assert (code, err, out) == (0, "", WAY)


def test_explain_tells_what_is_particular_about_a_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """\
    format: borderpost/1
    domain: llm
    scope: global
    descriptors:
      - key: tenant
        when_store_away: refuse
        limits: [{algorithm: budget, amount: 5000, every: day, price: 0.000002, reserve: 1}]
      - key: user
        when_store_away: allow
        limits: [{algorithm: concurrency, amount: 2, hold: 10m}]
    """
    written(folder, text)
    code, out, _ = run(capsys, "explain", "limits", "-d", "tenant=acme", "-d", "user=ann")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith(("  limit", "  away"))] == [
        "  limit    5,000 a day, budget, 0.000002 a hit, 1 reserved, over all regions",
        "  away     nothing passes while the store is away",
        "  limit    2 at once, each for 600 s at most, over all regions",
        "  away     everything passes while the store is away",
    ]


@pytest.mark.parametrize(
    ("descriptor", "why"),
    [
        (
            "other=1",
            "`other=1` meets nothing at the top of the domain; there are: `path_/api/*`, `kind`, `free`, `free_not`",
        ),
        ("kind=a,team=b", "`team=b` meets nothing below `kind`; there are: `user`"),
        ("kind=a", "`kind` has no limit; its rules are for descriptors that go on: `user`"),
        ("free=,user=b", "the rule `shop.free` is for descriptors that end before it (limits/a.yaml:15)"),
        ("path=a\\,b,user=c", "`path=a,b` meets nothing at the top"),
        ("free=not", "`free_not` has no limit (limits/a.yaml:17)"),
        ("free=not,user=b", "`user=b` meets nothing: there is nothing below `free_not` (limits/a.yaml:17)"),
        ("borderpost.phase=done", "a descriptor without entries meets nothing"),
    ],
)
def test_explain_says_why_there_is_no_rule(
    folder: Path, capsys: pytest.CaptureFixture[str], descriptor: str, why: str
) -> None:
    code, out, _ = run(capsys, "explain", "limits", "-d", descriptor)
    assert code == 1
    assert why in out


def test_explain_says_what_would_fit_if_nothing_were_met_before_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = "rate_limit: {unit: day, requests_per_unit: 1}"
    written(
        folder,
        "domain: d\ndescriptors:\n"
        f"  - {{key: k, value: 'a*', descriptors: [{{key: user, {limit}}}]}}\n"
        f"  - {{key: k, value: abc, descriptors: [{{key: team, {limit}}}, {{key: user, value: '*'}}]}}\n",
    )
    for descriptor in ("k=abc,user=ann", "k=ax,team=b"):
        code, out, _ = run(capsys, "explain", "limits", "-d", descriptor)
        fits = "`d.k_a*.user` would fit, but on the way to it another descriptor is met first" in out
        assert (code, fits) == (1, descriptor.endswith("ann"))


def test_explain_needs_to_know_the_domain(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, LIMITS, MANY)
    code, _, err = run(capsys, "explain", "limits", "-d", "free=")
    assert code == 2
    assert "llm, shop" in err
    code, out, _ = run(capsys, "explain", "limits", "--domain", "shpo", "-d", "free=")
    assert code == 1
    assert "no file has the domain `shpo`; did you mean `shop`?" in out
    assert run(capsys, "explain", "limits", "--domain", "shop", "-d", "free")[0] == 2


class AwayStore(MemoryStore):
    """A store that has no answer."""

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        done([Unanswered("unreachable") for _ in requests])


class SilentStore(MemoryStore):
    """A store that does not answer in time, but twice when it does."""

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        asyncio.get_running_loop().call_later(0.1, done, [()])


class Running:
    """A limiter's `/look` behind a real socket."""

    def __init__(self, book: Book, store: MemoryStore) -> None:
        self.store = store

        async def look(request: Request) -> Response:
            return await looked_at(book, store, still_world(), request)

        app = Starlette(routes=[Route("/look", look, methods=["POST"])])
        self.asked = functools.partial(asked, app, "/look", method="POST")
        seen = self.seen = []  # type: list[str | None]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                seen.append(self.headers["authorization"])
                body = self.rfile.read(int(self.headers["content-length"]))
                status, told = asked(app, self.path, method="POST", body=[body])
                self.send_response(status)
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def charge(self, book: Book, entries: tuple[tuple[str, str], ...], hits: int) -> None:
        found = book.match("shop", entries)
        assert found is not None
        charges = tuple(Charge(limit, key, hits) for limit, key in zip(found.rule.limits, found.keys, strict=True))
        self.store.take([charges], NOW_US, lambda _: None)


@pytest.fixture
def running(folder: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    limiter = Running(book_of(folder), getattr(request, "param", MemoryStore)(100))
    yield limiter
    limiter.server.shutdown()
    limiter.server.server_close()


def test_explain_asks_what_is_left_and_charges_nothing(
    folder: Path, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    running.charge(book_of(folder), (("path", "/api/v1"),), 2)
    Path("token").write_text("secret-of-sixteen\n")
    for _ in range(2):
        code, out, _ = run(
            capsys, "explain", "limits", "-d", "path=/api/v1", "-d", "path=/api/v2,user=ann", "-d", "free=",
            "--ask", running.address, "--token-file", "token",
        )  # fmt: skip
        assert code == 0
        assert [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("  left")] == [
            "3 of 5, all of it in 19.8 s", "2,000 of 2,000",
        ]  # fmt: skip
    assert running.seen == ["Bearer secret-of-sixteen"] * 2
    running.charge(book_of(folder), (("path", "/api/v1"),), 3)
    code, out, _ = run(
        capsys, "explain", "limits", "-d", "path=/api/v1", "--ask", f"http://{running.address}/", "--json"
    )
    (descriptor,) = json.loads(out)["descriptors"]
    assert descriptor["limits"][0]["left"] == {
        "amount": 5, "used": 5, "remaining": 0, "over": True, "reset_us": 19_750_000, "source": "store",
    }  # fmt: skip


def test_explain_says_that_the_limiter_has_other_files(
    folder: Path, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folder, LIMITS.replace("value: /api/*", "value: /a*"))
    code, out, err = run(capsys, "explain", "limits", "-d", "path=/api/v1", "--ask", running.address)
    assert code == 0
    assert "has other limits files" in err
    assert "  left" not in out


@pytest.mark.plain
@pytest.mark.parametrize("running", [AwayStore], indirect=True)
def test_explain_says_that_the_store_has_no_answer(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "explain", "limits", "-d", "path=/api/v1", "--ask", running.address)
    assert code == 2
    assert "it answers 503: the store of counters has no answer: unreachable" in err


def test_explain_says_that_nobody_answers(folder: Path, running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    for address, code in ((f"{running.address}/elsewhere", "BP1618"), ("127.0.0.1:1", "BP1618"), ("ftp://x", "BP0004")):
        exit_code, _, err = run(capsys, "explain", "limits", "-d", "path=/api/v1", "--ask", address)
        assert exit_code == 2
        assert f"error[{code}]" in err


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"domain": ""}', b'{"domain": "shop"}', b'{"domain": "shop", "descriptors": [{}]}',
     b'{"domain": "shop", "descriptors": [{"entries": [{"key": "secret-key"}], "nonsense": 1}]}'],
)  # fmt: skip
def test_look_refuses_what_it_does_not_understand(running: Running, body: bytes) -> None:
    status, told = running.asked(body=[body])
    assert status == 400
    assert b"secret-key" not in told


def test_look_refuses_what_is_too_long(running: Running) -> None:
    status, _ = running.asked(body=[b" " * (limits.LIMITER_JSON_BYTES_MAX + 1)])
    assert status == 413


@pytest.mark.plain
def test_look_waits_for_the_store_within_a_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITER_JSON_S_MAX", 0.05)
    limiter = Running(book_of(folder), SilentStore(100))
    limiter.server.shutdown()
    limiter.server.server_close()
    question = {"domain": "shop", "descriptors": [{"entries": [{"key": "path", "value": "/api/v1"}]}]}
    status, told = limiter.asked(body=[json.dumps(question).encode()])
    assert (status, b"timeout" in told) == (503, True)


def test_look_tells_limits_that_a_request_brings(running: Running) -> None:
    question = {
        "domain": "shop",
        "descriptors": [
            {"entries": [{"key": "k", "value": "secret"}], "limit": {"requestsPerUnit": 7, "unit": "MINUTE"}},
            {"entries": [{"key": "k", "value": "secret"}]},
        ],
    }
    status, told = running.asked(body=[json.dumps(question).encode()])
    brought, unmet = json.loads(told)["descriptors"]
    assert (status, brought["rule"], brought["limits"][0]["amount"]) == (200, "shop.k", 7)
    assert unmet == {"rule": None, "unlimited": False, "limits": []}
    assert b"secret" not in told
