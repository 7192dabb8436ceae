"""Observed routes: the request is let go before anything else, and what would have been decided is on record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.audit.verify import verify
from borderpost.config.load import load_config
from borderpost.config.observe import ObserveSection, observe_warning
from borderpost.counters.rebuild import counts_of
from borderpost.counters.tally import read_tallies
from borderpost_base.errors import Problems
from borderpost_base.world import World
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import StatusCode
from support.borderpost_process import merged, small_config, write_config
from support.observed import OBSERVING, checked, decisions, durable, put, told
from support.worker_parts import CHECK, PROCESS, REGIONS, until, worker_parts


def went_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record tells of where a request went, without the route."""
    return {name: value for name, value in record.get("observed", {}).items() if name != "route"}


@pytest.mark.parametrize(
    ("cluster", "place", "went", "outcome", "refused"),
    [
        ("pool-us", "GB", {"r": "us-1", "unlawful": "uk-gdpr/no-basis"}, "moved_by_law", None),
        ("pool-de", "GB", {"r": "eu-1"}, "stayed", None),
        ("eu-2", "GB", {"r": "eu-2"}, "moved_by_rank", None),
        ("elsewhere", "GB", {}, "routed", None),
        ("a name\n", "GB", None, "routed", None),
        (None, "GB", None, "routed", None),
        ("eu-1", "IR", {"r": "eu-1", "unlawful": "ofac-comprehensive/embargo"}, "refused", (451, "embargo")),
    ],
)
def test_where_it_went_and_what_would_have_been_done(
    tmp_path: Path, cluster: str | None, place: str, went: dict[str, Any] | None, outcome: str,
    refused: tuple[int, str] | None,
) -> None:  # fmt: skip
    """`went` is None where the record cannot even name the cluster."""

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            (call,) = put(parts, told(cluster=cluster, x_data_residency=place))
            assert (call.replies, call.finished, call.failed) == ([b""], True, None)
            (record,) = await durable(parts, 1)
            assert record["mode"] == "observe"
            assert record["observed"]["route"] == "chat"
            assert went_of(record) == ({} if went is None else {"cluster": cluster, **went})
            if refused is None:
                assert record["out"]["r"] == "eu-1"
            else:
                assert (record["out"]["status"], record["out"]["reason"]) == refused
            assert record["req"] == {"id": "r-1", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"}
            await until(lambda: parts.metrics.observed_total.get(outcome) == 1)
            assert parts.metrics.decisions_total.get("routed", "ok") == 0
            assert parts.metrics.misplaced_total.get("unenforced") == 0

    asyncio.run(main())
    report = verify(tmp_path / "audit")
    assert report.clean
    (stream,) = report.streams
    assert (stream.observed, stream.decisions, stream.routed, stream.refused) == (1, 0, 0, 0)


def test_the_region_of_a_route_tells_where_clusters_do_not(tmp_path: Path) -> None:
    changes = merged(OBSERVING, {"observe": {"routes": {"chat": {"region": "us-1"}}}})

    async def main() -> None:
        async with worker_parts(tmp_path, changes=changes) as parts:
            put(parts, told(), told(cluster="pool-de"))
            assert [record["observed"]["r"] for record in await durable(parts, 2)] == ["us-1", "us-1"]

    asyncio.run(main())


def test_over_ext_authz_the_answer_lets_go_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            (call,) = put(parts, checked(), method=CHECK)
            answer = authz.CheckResponse.FromString(call.replies[0])
            assert answer.status.code == 0 and answer.HasField("ok_response")
            assert answer.ok_response == authz.OkHttpResponse()
            assert not answer.HasField("dynamic_metadata")
            (record,) = await durable(parts, 1)
            assert (record["mode"], record["via"], record["observed"]) == ("observe", "ext_authz", {"route": "chat"})

    asyncio.run(main())


@pytest.mark.parametrize("word", ["true", 1, None, {}, [True], ""])
def test_over_ext_authz_only_true_says_that_envoy_goes_its_own_way(tmp_path: Path, word: object) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            (call,) = put(parts, checked(observing=word), method=CHECK)
            assert authz.CheckResponse.FromString(call.replies[0]).denied_response.status.code == 503
            (waiting,) = put(parts, checked(route="rest", observing=word), method=CHECK)
            await until(lambda: waiting.answered)
            assert waiting.cluster == "eu-1", "what enforces is not hampered by a word that says nothing"
            (record,) = await durable(parts, 1)
            assert record["mode"] == "enforce"

    asyncio.run(main())


@pytest.mark.parametrize("method", [PROCESS, CHECK])
def test_an_enforcing_question_for_an_observed_route_is_refused_and_an_alarm(tmp_path: Path, method: str) -> None:
    message = told(observing=False) if method == PROCESS else checked(observing=False)

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            with capture_logs() as logs:
                for _ in range(3):
                    (call,) = put(parts, message, method=method)
                    assert call.cluster is None and b"BP1444" in call.replies[0]
            assert [line["code"] for line in logs if line["log_level"] == "error"] == ["BP1444"]
            assert decisions(parts) == []
            assert parts.metrics.misplaced_total.get("unobserved") == 3
            assert parts.metrics.unrecorded_total.get("BP1444", "observed-route") == 3

    asyncio.run(main())


@pytest.mark.parametrize("route", ["rest", "unheard-of", None])
def test_an_observing_message_for_an_enforced_route_fails_is_recorded_as_that_and_an_alarm(
    tmp_path: Path, route: str | None
) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            with capture_logs() as logs:
                for number in range(3):
                    (call,) = put(parts, told(route=route, request_id=f"r-{number}"))
                    assert call.replies == [] and call.failed is not None
                    assert call.failed[0] is StatusCode.FAILED_PRECONDITION
                found = await durable(parts, 3)
            assert [went_of(record) for record in found] == [{"unenforced": True}] * 3
            assert found[0]["observed"].get("route") == route
            assert {record["mode"] for record in found} == {"observe"}
            assert [line["code"] for line in logs if line["log_level"] == "error"] == ["BP1443"]
            assert parts.metrics.misplaced_total.get("unenforced") == 3

    asyncio.run(main())


def test_over_ext_authz_an_observing_question_for_an_enforced_route_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            (call,) = put(parts, checked(route="rest"), method=CHECK)
            answer = authz.CheckResponse.FromString(call.replies[0])
            assert (answer.status.code, answer.denied_response.status.code) == (7, 503)
            assert "BP1443" in answer.denied_response.body
            assert decisions(parts) == []

    asyncio.run(main())


def test_where_nothing_is_observed_every_observing_message_is_an_alarm(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            (call,) = put(parts, told())
            assert call.failed is not None
            assert went_of((await durable(parts, 1))[0]) == {"unenforced": True}
            assert (await parts.ask(told(observing=False))).cluster == "eu-1"

    asyncio.run(main())


def test_what_is_recognised_is_let_go_and_never_taken_for_what_waits(tmp_path: Path) -> None:
    """A message is known by its bytes: the one that observes and the one that waits differ in one of them."""
    changes = {"routes": {"chat": {}, "rest": {}}, "observe": {"routes": {"chat": {}}}}

    async def main() -> None:
        async with worker_parts(tmp_path, changes=changes) as parts:
            for number in range(4):
                (watched,) = put(parts, told(request_id=f"o-{number}"))
                assert watched.finished and watched.replies == [b""]
                assert (
                    await parts.ask(told(route="rest", observing=False, request_id=f"e-{number}"))
                ).cluster == "eu-1"
                (misplaced,) = put(parts, told(route="rest", request_id=f"m-{number}"))
                assert misplaced.failed is not None
            found = await durable(parts, 12)
            modes = {record["req"]["id"]: (record["mode"], went_of(record)) for record in found}
            for number in range(4):
                assert modes[f"o-{number}"] == ("observe", {})
                assert modes[f"e-{number}"] == ("enforce", {})
                assert modes[f"m-{number}"] == ("observe", {"unenforced": True})

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_of_any_mixture_each_request_is_treated_as_its_own_message_says(tmp_path: Path, seed: int) -> None:
    """Messages that differ in little, recognised or not, in batches of any size: none takes another's part."""
    random = Random(seed)

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            due: dict[str, tuple[str, bool, str | None]] = {}
            while len(due) < 200:
                batch = []
                for _ in range(random.randrange(1, 9)):
                    route, observing = random.choice(("chat", "rest")), random.random() < 0.5
                    cluster = random.choice(("pool-us", "pool-de", None)) if observing else None
                    identity = f"{len(due):08x}"
                    due[identity] = (route, observing, cluster)
                    said: dict[str, Any] = {"route": route, "observing": observing, "cluster": cluster}
                    said |= {"address": f"212.58.244.{random.randrange(256)}", "request_id": identity}
                    said |= {"x_data_residency": random.choice(("GB", "IR"))} if random.random() < 0.3 else {}
                    batch.append(told(**said))
                asked = list(due.values())[-len(batch) :]
                calls = put(parts, *batch)
                await until(lambda calls=calls: all(call.answered for call in calls))
                for call, (route, observing, _) in zip(calls, asked, strict=True):
                    if observing and route == "chat":
                        assert (call.finished, call.replies) == (True, [b""])
                    elif observing:
                        assert call.failed is not None and call.replies == []
                    elif route == "chat":
                        assert b"BP1444" in call.replies[0]
                    else:
                        assert call.replies != [b""] and not call.finished
            recorded = [each for each in due if due[each][1] or due[each][0] == "rest"]
            found = {record["req"]["id"]: record for record in await durable(parts, len(recorded))}
            assert sorted(found) == sorted(recorded)
            for identity, record in found.items():
                route, observing, cluster = due[identity]
                assert record["mode"] == ("observe" if observing else "enforce")
                assert record.get("observed", {}).get("cluster") == cluster
                assert record.get("observed", {}).get("unenforced", False) == (observing and route == "rest")

    asyncio.run(main())
    assert verify(tmp_path / "audit").clean


def test_records_of_requests_that_wait_come_before_those_that_have_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            calls = put(parts, told(request_id="o-1"), told(route="rest", observing=False), told(request_id="o-2"))
            await until(lambda: all(call.answered for call in calls))
            assert [record["req"]["id"] for record in await durable(parts, 3)] == ["r-1", "o-1", "o-2"]

    asyncio.run(main())


COUNTED: dict[str, Any] = {
    "packs": ["base"], "no_regime": "allow",
    "regimes": [{
        "id": "house", "title": "House rule", "source": "Board", "applies_when": {"subject_in": "*"},
        "allow": [{"to": ["DE", "IE"], "basis": "exempt"},
                  {"to": "*", "basis": "wide", "below": {"counter": "exports", "count": 10}}],
        "counters": [{"id": "exports", "bases": ["exempt"]}],
    }],
}  # fmt: skip


def test_an_observed_request_uses_up_no_threshold_live_or_from_the_log(tmp_path: Path) -> None:
    changes = {**OBSERVING, "policy": COUNTED, "counters": {"directory": "counters"}}

    async def main() -> None:
        async with worker_parts(tmp_path, changes=changes) as parts:
            for number in range(5):
                put(parts, told(request_id=f"o-{number}"))
            await parts.ask(told(route="rest", observing=False))
            await durable(parts, 6)

    asyncio.run(main())
    (tally,) = read_tallies(tmp_path / "state")[0]
    assert list(tally.counts.values()) == [1]
    counts, records = counts_of(tmp_path / "audit", World())
    assert (list(counts.values()), records) == ([1], 1)


def test_the_shadow_is_weighed_for_observed_requests_too(tmp_path: Path) -> None:
    rule = {
        "id": "irish", "title": "Ireland", "source": "Board", "applies_when": {"subject_in": "*"},
        "allow": [{"to": ["IE"], "basis": "house"}],
    }  # fmt: skip
    changes = {**OBSERVING, "shadow": {"policy": {"packs": ["starter"], "regimes": [rule]}}}

    async def main() -> None:
        async with worker_parts(tmp_path, changes=changes) as parts:
            put(parts, told(cluster="eu-1"), told(cluster="eu-1", request_id="r-2"))
            found = await durable(parts, 2)
            assert [record["shadow"]["kind"] for record in found] == ["narrowed"] * 2
            await until(lambda: parts.metrics.shadow_divergence_total.get("narrowed") == 2)

    asyncio.run(main())


def test_bodies_are_not_awaited_and_that_they_were_not_seen_is_on_record(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0" * 32)
    payload = {"read": True, "hash_key_file": str(key), "routes": []}

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING, payload=payload) as parts:
            request = proc.ProcessingRequest.FromString(told())
            request.request_headers.end_of_stream = False
            request.protocol_config.request_body_mode = 2
            (with_body, without) = put(parts, request.SerializeToString(), told(request_id="r-2"))
            assert with_body.finished and without.finished and with_body.asked == []
            found = await durable(parts, 2)
            assert [went_of(record) for record in found] == [{"body_unseen": True}, {}]
            assert found[0]["out"]["action"] == "route"

    asyncio.run(main())


def test_a_catalogue_and_a_law_that_change_are_followed(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            put(parts, told(cluster="eu-2"))
            parts.reload({"regions": {"eu-2": {"country": "IE", "cluster": "irish"}}})
            await parts.take()
            put(parts, told(cluster="eu-2", request_id="r-2"), told(cluster="irish", request_id="r-3"))
            found = {record["req"]["id"]: went_of(record) for record in await durable(parts, 3)}
            assert found["r-1"] == {"cluster": "eu-2", "r": "eu-2"}
            assert found["r-2"] == {"cluster": "eu-2"}
            assert found["r-3"] == {"cluster": "irish", "r": "eu-2"}

    asyncio.run(main())


def test_what_is_described_nowhere_is_refused_at_load_with_the_nearest_name(tmp_path: Path) -> None:
    config = {
        **small_config(REGIONS), "routes": {"chat": {}},
        "observe": {"routes": {"chta": {"region": "eu-11"}}, "clusters": {"pool": "us-11"}},
    }  # fmt: skip
    with pytest.raises(Problems) as raised:
        load_config(write_config(tmp_path, config), environ={})
    found = [(error.code, error.place.key, error.mend) for error in raised.value.errors]
    assert found == [
        ("BP1441", "observe.routes.chta", "did you mean `chat`?"),
        ("BP1441", "observe.routes.chta.region", "did you mean `eu-1`?"),
        ("BP1441", "observe.clusters.pool", "did you mean `us-1`?"),
    ]


def test_the_warning_names_the_routes_and_bodies_that_are_not_seen() -> None:
    assert observe_warning(ObserveSection(), bodies_read=True) is None
    section = ObserveSection.model_validate({"routes": {"b": {}, "a": {}}})
    warning = observe_warning(section, bodies_read=False)
    assert warning is not None and (warning.code, warning.detail) == ("BP1440", "no law is kept on `a`, `b`")
    bodies = observe_warning(section, bodies_read=True)
    assert bodies is not None and "their bodies are not seen" in bodies.detail
    many = observe_warning(ObserveSection(routes={f"r{n}": {} for n in range(300)}), bodies_read=False)  # type: ignore[dict-item]
    assert many is not None and many.detail.endswith("and 100 more")
