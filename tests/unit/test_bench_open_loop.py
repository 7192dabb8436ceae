"""The open loop: schedules, requests and answers, latency from when one was due, and the judge of each answer."""

from __future__ import annotations

import dataclasses
import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.scenery import configuration, write_events
from borderpost_base.errors import BorderpostError
from borderpost_bench import open_loop, requesters, traffic
from borderpost_bench.arrivals import schedule
from borderpost_bench.judge import Judgement, LawBook, Sent, judge, together
from borderpost_bench.latency import Percentiles
from borderpost_bench.mix import MODELS, facts_of, requests_of_mix
from borderpost_bench.open_loop import Answer, OpenLoad, read_answer, request_bytes, run_open, trace_id

MS = 1_000_000


def test_a_constant_schedule_has_equal_gaps() -> None:
    assert list(schedule("constant", 4, 1, seed=1)) == [0.0, 0.25, 0.5, 0.75]


def test_a_poisson_schedule_has_its_rate_and_the_gaps_of_one() -> None:
    due = schedule("poisson", 1000, 20, seed=7)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert abs(len(due) / 20_000 - 1) < 0.03
    assert all(gap >= 0 for gap in gaps)
    assert due[-1] < 20
    assert abs(statistics.stdev(gaps) / statistics.mean(gaps) - 1) < 0.05, "as great as the mean"
    assert due == schedule("poisson", 1000, 20, seed=7)
    assert due != schedule("poisson", 1000, 20, seed=8)


@pytest.mark.parametrize(("arrivals", "rate_s"), [("bursts", 1.0), ("poisson", 0.0), ("constant", -1.0)])
def test_what_is_no_schedule_is_an_error(arrivals: str, rate_s: float) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        schedule(arrivals, rate_s, 1, seed=1)


def test_percentiles_have_three_digits_over_the_whole_range() -> None:
    told = Percentiles.of([number * 10_000 for number in range(1, 10_001)])
    for value, exact in ((told.p50_ms, 50), (told.p90_ms, 90), (told.p99_ms, 99), (told.p999_ms, 99.9)):
        assert abs(value / exact - 1) < 0.001
    assert abs(told.greatest_ms / 100 - 1) < 0.001
    assert Percentiles.of([]) == Percentiles(0, 0, 0, 0, 0)
    assert Percentiles.of([10**15]).p50_ms == pytest.approx(60_000, rel=0.001)


def test_without_its_package_there_is_no_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hdrh.histogram", None)
    with pytest.raises(BorderpostError, match="BP0923"):
        Percentiles.of([1])


def test_a_stall_is_charged_to_every_request_that_fell_due_in_it() -> None:
    """100 requests, one a millisecond, each served in 1 ms; but for the first 50 ms nothing is served at all. A closed
    loop, or latency from when a request was sent, would see one slow answer, or none."""
    answers = []
    for number in range(100):
        due = number * MS
        sent = max(due, 50 * MS)
        answers.append(Answer(due, sent, sent + MS, 200))
    told = requesters.load_of(OpenLoad(answers, 0.1, 0), 1000.0)
    assert told.p50_ms == pytest.approx(1, rel=0.01)
    assert told.p90_ms == pytest.approx(41, rel=0.05)
    assert told.p99_ms == pytest.approx(50, rel=0.05)
    assert told.late_p99_ms == pytest.approx(49, rel=0.05)
    assert (told.answered, told.failed, told.offered_s) == (100, 0, 1000.0)


def test_a_request_without_an_answer_has_failed() -> None:
    told = requesters.load_of(OpenLoad([Answer(0, 1, 2, 451), Answer(0, 1, 0), Answer(0, 0, 0)], 1.0, 1), 3.0)
    assert (told.answered, told.refused, told.failed) == (1, 1, 2)


def test_the_mix_is_of_many_addresses_countries_claims_classes_and_models() -> None:
    made = requests_of_mix(5000, 2000, seed=3)
    assert made == requests_of_mix(5000, 2000, seed=3)
    assert made != requests_of_mix(5000, 2000, seed=4)
    addresses = [one.request.address for one in made]
    assert 500 < len(set(addresses)) < 2000
    busiest = max(addresses.count(one) for one in set(addresses[:200]))
    assert busiest > 50, "a few clients ask often"
    assert {one.facts.model for one in made} == set(MODELS)
    facts = {dataclasses.replace(one.facts, model=None) for one in made}
    assert facts == {facts_of(client, None) for client in traffic.ROUTED + traffic.REFUSED}
    routed = {dataclasses.replace(one.facts, model=None) for one in requests_of_mix(5000, 2000, seed=3, refused=False)}
    assert routed == {facts_of(client, None) for client in traffic.ROUTED}
    for one in made:
        assert one.request.headers["x-forwarded-for"] == one.request.address
        assert one.request.headers["x-model"] == one.facts.model


def test_a_request_carries_its_trace_and_its_claims() -> None:
    (asked,) = requests_of_mix(1, 1, seed=5)
    trace = trace_id(9, 0)
    assert len(trace) == 32
    assert trace != trace_id(9, 1) != trace_id(8, 1)
    head, _, body = request_bytes(asked, trace).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"\r\ntraceparent: 00-{trace}-".encode() in head
    assert f"\r\nx-forwarded-for: {asked.request.address}".encode() in head
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head


ROUTED = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\nx-borderpost-decision: 0a\r\nx-borderpost-region: b\r\n\r\n"
    b'{"system_fingerprint":"eu-west-1"} '
)
REFUSED = b'HTTP/1.1 451 X\r\ncontent-length: 35\r\n\r\n{"reason":"embargo","decision":"b"}'
BY_ENVOY = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("got", "status", "decision", "region", "reason"),
    [
        (ROUTED, 200, "0a", "eu-west-1", None),
        (REFUSED, 451, "b", None, "embargo"),
        (BY_ENVOY, 503, None, None, None),
    ],
)
def test_answers_are_read(
    got: bytes, status: int, decision: str | None, region: str | None, reason: str | None
) -> None:
    answer = read_answer(got, got.index(b"\r\n\r\n"), 1, 2, 3)
    assert answer == Answer(1, 2, 3, status, decision, region, reason)


@contextmanager
def served(*answers: bytes) -> Iterator[int]:
    """Serve each connection in turn these answers, one a request, then close it; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def connection(peer: socket.socket) -> None:
            with peer:
                for answer in answers:
                    got = b""
                    while b"\r\n\r\n" not in got or not got.endswith(traffic.CHAT.encode()):
                        more = peer.recv(65536)
                        if not more:
                            return
                        got += more
                    for at in range(0, len(answer), 50):
                        peer.sendall(answer[at : at + 50])

        def accept() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=connection, args=(peer,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def framed(count: int) -> list[bytes]:
    return [request_bytes(one, trace_id(1, number)) for number, one in enumerate(requests_of_mix(count, 10, seed=1))]


def test_every_request_gets_its_answer_in_pieces_or_whole() -> None:
    with served(ROUTED, REFUSED, BY_ENVOY) as port:
        seen = run_open(port, framed(3), [0.0, 0.05, 0.1], connections=1)
    assert sorted(one.status for one in seen.answers) == [200, 451, 503]
    assert all(one.due_ns <= one.sent_ns <= one.done_ns for one in seen.answers)
    assert [one.due_ns for one in seen.answers] == [0, 50 * MS, 100 * MS]
    assert seen.starved == 0


def test_where_all_connections_are_busy_another_is_opened() -> None:
    with served(ROUTED) as port:
        seen = run_open(port, framed(20), [0.0] * 20, connections=1)
    assert [one.status for one in seen.answers] == [200] * 20


def test_a_request_waits_where_no_more_connections_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "CONNECTIONS_MAX", 1)
    with served(*[ROUTED] * 5) as port:
        seen = run_open(port, framed(5), [0.0] * 5, connections=1)
    assert [one.status for one in seen.answers] == [200] * 5
    assert seen.starved > 0
    assert all(later.sent_ns >= earlier.done_ns for earlier, later in pairwise(seen.answers)), "one at a time"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b""])
def test_a_connection_that_gives_no_answer_is_a_request_that_failed(answer: bytes) -> None:
    with served(answer) as port:
        seen = run_open(port, framed(1), [0.0], connections=1, patience_s=5.0)
    assert [one.status for one in seen.answers] == [0]


def test_nobody_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(BorderpostError, match="BP0921"):
        run_open(port, framed(1), [0.0], connections=1)


GERMAN, AMERICAN, IRANIAN = (
    next(client for client in traffic.ROUTED + traffic.REFUSED if client.country == country)
    for country in ("DE", "US", "IR")
)
TRACE = trace_id(1, 0)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> LawBook:
    folder = tmp_path_factory.mktemp("law")
    write_events(folder, [])
    path = folder / "borderpost.yaml"
    path.write_text(yaml.safe_dump(configuration({}, admin_port=0)))
    return LawBook(path, 1_790_000_000_000_000)


@pytest.mark.parametrize("client", traffic.ROUTED + traffic.REFUSED, ids=lambda client: client.network)
def test_the_law_of_the_mix_is_what_is_expected_by_hand(book: LawBook, client: traffic.Client) -> None:
    assert frozenset(book.law(facts_of(client, "m")).legal) == client.legal


def record(client: traffic.Client, out: dict[str, Any], trace: str = TRACE, **changes: Any) -> dict[str, Any]:
    facts = facts_of(client, "m")
    evidence = [{"src": piece.source.value, "val": piece.code, "trust": "x"} for piece in facts.evidence]
    return {
        "req": {"trace": trace}, "jur": {"evidence": evidence}, "class": list(facts.classes), "model": "m", "out": out,
        **changes,
    }  # fmt: skip


def route(region: str) -> dict[str, Any]:
    return {"action": "route", "r": region}


EMBARGO = {"action": "refuse", "reason": "embargo"}


def judged(book: LawBook, client: traffic.Client, answer: Answer, on_record: dict[str, Any] | None) -> Judgement:
    records = {} if on_record is None else {"id": on_record}
    return judge([Sent(facts_of(client, "m"), TRACE)], [answer], book, records)


def from_region(region: str | None, decision: str | None = "id") -> Answer:
    return Answer(0, 1, 2, 200, decision, region)


def refusal(reason: str | None, decision: str | None = "id", status: int = 451) -> Answer:
    return Answer(0, 1, 2, status, decision, None, reason)


def test_what_is_legal_and_on_record_passes(book: LawBook) -> None:
    routed = judged(book, GERMAN, from_region("eu-west-1"), record(GERMAN, route("eu-west-1")))
    assert routed == Judgement(answers=1, routed=1)
    refused = judged(book, IRANIAN, refusal("embargo"), record(IRANIAN, EMBARGO))
    assert refused == Judgement(answers=1, refused_as_law_says={"embargo": 1})
    both = together([routed, refused, refused])
    assert both == Judgement(answers=3, routed=1, refused_as_law_says={"embargo": 2})
    assert both.passed


@pytest.mark.parametrize(
    ("client", "region"),
    [(GERMAN, "us-east-1"), (IRANIAN, "eu-west-1"), (GERMAN, None), (GERMAN, "nowhere")],
    ids=["another country", "embargoed", "no region named", "no region of ours"],
)
def test_an_illegal_answer_is_found_even_if_it_is_on_record(
    book: LawBook, client: traffic.Client, region: str | None
) -> None:
    made = judged(book, client, from_region(region), record(client, {"action": "route", "r": region}))
    assert (made.illegal, made.unlogged, made.passed) == (1, 0, False)
    assert "the law says" in made.wrong[0]


@pytest.mark.parametrize(
    ("answer", "on_record", "what"),
    [
        (from_region("eu-west-1"), None, "not on record"),
        (from_region("eu-west-1", None), record(GERMAN, route("eu-west-1")), "names no decision"),
        (from_region("eu-west-1"), record(GERMAN, route("eu-central-1")), "not what is on record"),
        (from_region("eu-west-1"), record(GERMAN, EMBARGO), "not what is on record"),
        (from_region("eu-west-1"), record(GERMAN, route("eu-west-1"), trace_id(1, 1)), "about another request"),
        (from_region("eu-west-1"), record(AMERICAN, route("eu-west-1")), "other facts"),
        (from_region("eu-west-1"), record(GERMAN, route("eu-west-1"), model="n"), "other facts"),
        (from_region("eu-west-1"), record(GERMAN, route("eu-west-1"), **{"class": ["public"]}), "other facts"),
    ],
    ids=["no record", "no id", "other region", "refusal", "other request", "other country", "other model", "class"],
)
def test_an_answer_without_its_record_is_found(
    book: LawBook, answer: Answer, on_record: dict[str, Any] | None, what: str
) -> None:
    made = judged(book, GERMAN, answer, on_record)
    assert (made.illegal, made.unlogged, made.passed) == (0, 1, False)
    assert what in made.wrong[0]


def test_a_refusal_without_its_record_is_found(book: LawBook) -> None:
    assert judged(book, IRANIAN, refusal("embargo"), None).unlogged == 1
    assert judged(book, IRANIAN, refusal("embargo"), record(IRANIAN, {**EMBARGO, "reason": "no-regime"})).unlogged == 1


def test_two_answers_cannot_share_a_record(book: LawBook) -> None:
    sent = [Sent(facts_of(GERMAN, "m"), TRACE)] * 2
    made = judge(sent, [from_region("eu-west-1")] * 2, book, {"id": record(GERMAN, route("eu-west-1"))})
    assert (made.unlogged, made.wrong) == (1, ["answer 1 has another's record"])


def test_a_refusal_that_the_law_does_not_ask_for_is_found(book: LawBook) -> None:
    made = judged(book, GERMAN, refusal("embargo"), record(GERMAN, EMBARGO))
    assert (made.over_refused, made.unlogged, made.passed) == (1, 0, False)
    other = {"action": "refuse", "reason": "no-regime"}
    assert judged(book, IRANIAN, refusal("no-regime"), record(IRANIAN, other)).over_refused == 1


def test_a_refusal_of_envoy_s_own_is_legal_and_counted(book: LawBook) -> None:
    made = judged(book, GERMAN, refusal(None, None, 503), None)
    assert made == Judgement(answers=1, refused_by_envoy=1)
    assert judged(book, GERMAN, Answer(0, 1, 0), None) == Judgement(unanswered=1)


def test_only_the_first_wrong_answers_are_told_and_none_by_address(book: LawBook) -> None:
    sent = [Sent(facts_of(GERMAN, "m"), TRACE)] * 50
    made = judge(sent, [from_region("us-east-1", None)] * 50, book, {})
    assert (made.illegal, made.unlogged, len(made.wrong)) == (50, 50, 10)
    assert len(together([made, made]).wrong) == 10


def test_a_number_of_answers_that_is_not_that_of_the_requests_is_an_error(book: LawBook) -> None:
    with pytest.raises(ValueError, match="zip"):
        judge([Sent(facts_of(GERMAN, "m"), TRACE)], [], book, {})


def test_a_configuration_that_cannot_be_served_judges_nothing(tmp_path: Path) -> None:
    with pytest.raises(BorderpostError, match="BP0003"):
        LawBook(tmp_path / "gone.yaml", 0)
