"""`borderpost shadow-summary`: what observed routes and shadows would have changed, counted from the log."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.record import parse
from borderpost.cli.main import main
from borderpost.foresight import observed as observed_module
from borderpost.foresight.observed import Summary, summarise
from borderpost_base import limits
from support.audit import lines_of
from support.observed import OBSERVING, decisions, put, told
from support.worker_parts import FakeCall, WorkerParts, until, worker_parts

RULE: dict[str, Any] = {
    "id": "no-germany", "title": "Nothing in Germany", "source": "Board", "applies_when": {"subject_in": "*"},
    "default": "allow", "deny": [{"to": ["DE"], "basis": "moved"}],
}  # fmt: skip
TENANTS: dict[str, Any] = {"tenants": {"clinic": {}}, "routes": {"chat": {"tenant": "clinic"}, "rest": {}}}


async def send(parts: WorkerParts, *messages: bytes) -> None:
    before = len(decisions(parts))
    put(parts, *messages)
    await until(lambda: len(decisions(parts)) == before + len(messages))


def mixed(directory: Path, **changes: Any) -> Path:
    """Leave a log with twelve observed requests and two that were enforced."""

    async def run() -> None:
        async with worker_parts(directory, changes={**OBSERVING, **TENANTS, **changes}) as parts:
            await send(parts, *[told(cluster="pool-us", request_id=f"m-{n}") for n in range(5)])
            await send(parts, *[told(cluster="pool-de", request_id=f"s-{n}") for n in range(3)])
            await send(parts, told(cluster="eu-2", request_id="r-1"), told(cluster="far", request_id="u-1"))
            await send(parts, told(cluster="pool-us", x_data_residency="IR", request_id="i-1"))
            await send(parts, told(route="rest", cluster="pool-de", request_id="x-1"))
            for number in range(2):
                await parts.ask(told(route="rest", observing=False, request_id=f"e-{number}"), FakeCall())

    asyncio.run(run())
    return directory / "audit"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return such a log, to be read only."""
    return mixed(tmp_path_factory.mktemp("log"))


def summary(log: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["shadow-summary", str(log), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_what_would_have_been_moved_refused_or_left_where_it_went(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = summary(log, capsys)
    assert (code, found["decisions"], found["verified"], found["shadows"]) == (1, 14, True, [])
    seen = found["observed"]
    assert (seen["requests"], seen["unenforced"], seen["body_unseen"]) == (12, 1, 0)
    assert seen["stayed"] == {"requests": 4, "by_region": {"eu-1": 4}}
    assert seen["moved"]["moves"] == [
        {"from": "us-1", "to": "eu-1", "why": "uk-gdpr/no-basis", "requests": 5},
        {"from": "eu-2", "to": "eu-1", "why": "ranking", "requests": 1},
    ]
    assert seen["moved"]["by"]["tenant"] == {"clinic": 6}
    assert seen["moved"]["by"]["route"] == {"chat": 6}
    assert seen["moved"]["by"]["country"] == {"GB": 6}
    assert seen["unplaced"] == [{"from": "cluster far", "to": "eu-1", "why": "-", "requests": 1}]
    assert seen["refused"]["requests"] == 1
    assert seen["refused"]["reasons"] == [{"status": 451, "code": "BP0802", "reason": "embargo", "requests": 1}]
    assert seen["refused"]["by"]["country"] == {"GB": 1, "IR": 1}
    assert "ofac-comprehensive" in seen["refused"]["by"]["regime"]
    assert found["changing"] == 8
    parts = (seen["stayed"], seen["moved"], seen["refused"])
    assert sum(each["requests"] for each in parts) + 1 == seen["requests"], "each request is in one of them"


def test_the_same_told_to_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shadow-summary", str(log), "--rows", "1"]) == 1
    out, err = capsys.readouterr()
    assert "observed routes: 12 requests went their own way" in out
    assert "41.7 %  would have been moved" not in out and "50.0 %  would have been moved" in out
    assert "5         us-1  eu-1  uk-gdpr/no-basis" in out
    assert "and 1 more; --rows shows them, --json all" in out
    assert "hint: say under `observe.clusters`" in err
    assert "1 request came on routes that were to be ENFORCED" in err
    assert "12.7.0.0.1" not in out and "212.58" not in out


def test_times_choose_and_where_nothing_was_observed_it_says_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = summary(log, capsys, "--to", "2020-01-01")
    assert (code, found["errors"][0]["code"], found["errors"][0]["detail"]) == (2, "BP1445", "0 decisions")
    assert summary(log, capsys, "--from", "2020-01-01")[1]["decisions"] == 14
    assert summary(log, capsys, "--from", "tomorrow")[0] == 2
    assert summary(log, capsys, "--rows", "0")[0] == 2
    assert summary(log / "nowhere", capsys)[1]["errors"][0]["code"] == "BP0408"


def test_a_log_that_does_not_verify_is_not_summed_up_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = mixed(tmp_path)
    (segment,) = [path for path in (log / "worker-0").iterdir() if path.name.endswith(".jsonl")]
    segment.write_bytes(segment.read_bytes().replace(b'"r":"us-1"', b'"r":"eu-1"', 1))
    code, found = summary(log, capsys)
    assert (code, found["errors"][0]["code"]) == (2, "BP1253")
    code, found = summary(log, capsys, "--unverified")
    assert (code, found["verified"]) == (1, False)


def test_where_all_stays_the_exit_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            await send(parts, *[told(cluster="pool-de", request_id=f"s-{n}") for n in range(3)])

    asyncio.run(run())
    code, found = summary(tmp_path / "audit", capsys)
    assert (code, found["changing"], found["observed"]["stayed"]["requests"]) == (0, 0, 3)


def test_shadows_are_summed_by_their_digest_and_for_enforced_requests_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shadow = {"shadow": {"policy": {"packs": ["starter"], "regimes": [RULE]}}}
    log = mixed(tmp_path, **shadow)
    code, found = summary(log, capsys)
    assert code == 1
    (each,) = found["shadows"]
    assert each["policy"].startswith("sha256:")
    assert each["requests"] == 14
    assert each["refused"]["requests"] + each["moved"]["requests"] + each["agreed"] + sum(
        each["otherwise"].values()
    ) + each["admitted"]["requests"] == 14  # fmt: skip
    assert each["agreed"] < 14
    assert main(["shadow-summary", str(log)]) == 1
    assert f"shadow {each['policy']}: weighed for 14 requests" in capsys.readouterr().out


def record(**changes: Any) -> dict[str, Any]:
    """Return what a summary reads of a decision that was enforced."""
    plain = {
        "mode": "enforce", "inputs": {"shadow": "sha256:a"}, "table": "sha256:t", "class": ["personal"],
        "jur": {"regimes": ["r"], "effective": ["DE"]}, "out": {"action": "route", "r": "a"},
    }  # fmt: skip
    return {**plain, **changes}


REFUSING = {"action": "refuse", "status": 451, "code": "BP0801", "reason": "no-legal-region"}
KINDS = [
    ({}, {}, "agreed"),
    ({"shadow": {"kind": "narrowed", "reason": "embargo"}}, {}, "refused"),
    ({"shadow": {"kind": "region", "r": "b", "basis": "r/x"}}, {}, "moved"),
    ({"shadow": {"kind": "widened", "r": "b", "basis": "r/x"}}, {"out": REFUSING}, "admitted"),
    ({"shadow": {"kind": "reason", "reason": "embargo"}}, {"out": REFUSING}, "otherwise"),
    ({"shadow": {"kind": "basis", "r": "a", "basis": "r/y"}}, {}, "otherwise"),
    ({"shadow": {"kind": "failed"}}, {}, "otherwise"),
    ({"shadow": {"kind": "narrowed"}}, {}, "refused"),
]


@pytest.mark.parametrize(("said", "given", "into"), KINDS)
def test_each_kind_of_divergence_is_counted_once(said: dict[str, Any], given: dict[str, Any], into: str) -> None:
    found = summarise([(record(**said, **given), 1)])
    (seen,) = found.shadows.values()
    counts = {
        "refused": seen.refused.requests, "moved": seen.moved.requests, "admitted": seen.admitted.requests,
        "otherwise": sum(seen.otherwise.values()), "agreed": seen.requests - seen.changing,
    }  # fmt: skip
    assert {name: count for name, count in counts.items() if count} == {into: 1}


def test_what_was_refused_before_any_law_was_not_weighed() -> None:
    malformed = record(out=REFUSING)
    del malformed["table"]
    assert summarise([(malformed, 1)]).shadows == {}


def test_what_can_be_told_apart_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SUMMARY_VALUES_MAX", 3)
    observed = {"mode": "observe", "inputs": {}}
    records = [
        (record(**observed, tenant=f"t-{n}", observed={"r": f"from-{n}", "unlawful": f"why-{n}"}), n) for n in range(9)
    ]
    found = summarise(records).observed
    assert found.moved.by["tenant"] == Counter({"other": 6, "t-0": 1, "t-1": 1, "t-2": 1})
    assert sum(found.moves.values()) == 9 and len(found.moves) == 4
    refusals = [(record(**observed, out={**REFUSING, "reason": f"r-{n}"}), n) for n in range(9)]
    assert len(summarise(refusals).observed.reasons) == 4


def test_a_decision_that_bound_nobody_is_explained_as_that(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        record["req"]["id"]: f"{record['epoch']}{record['seq']:012x}" for record in map(parse, lines_of(log))
        if record["type"] == "decision"
    }  # fmt: skip
    for request, text, page in (
        ("m-0", "went to us-1, which the law forbids (uk-gdpr/no-basis)", "which the law does not allow"),
        ("s-0", "went to eu-1, which the law allows", "which the law allows"),
        ("u-1", "went to the cluster far, nobody knows where", "to a place that is not known"),
        ("i-1", "no law was kept on it", "it would have been refused"),
        ("x-1", "the configuration had the route ENFORCED", "only observed this request"),
    ):
        capsys.readouterr()
        assert main(["explain", "--log", str(log), found[request]]) == 0
        assert text in capsys.readouterr().out
        assert main(["explain", "--log", str(log), found[request], "--format", "lawyer"]) == 0
        told = capsys.readouterr().out
        assert page in told and "kept no law on it" in told and "was sent to" not in told.split("Had the")[0]
    assert main(["explain", "--log", str(log), found["e-0"]]) == 0
    assert "observed" not in capsys.readouterr().out


def test_an_empty_summary_has_found_nothing() -> None:
    assert not Summary().found
    assert observed_module.summarise([]).changing == 0


def test_no_line_of_the_log_names_a_client(log: Path) -> None:
    assert not any(b"212.58.244" in line for line in lines_of(log))
