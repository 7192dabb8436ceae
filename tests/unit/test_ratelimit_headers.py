"""Response headers of the three families, read by another's parser, and dynamic metadata."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from http_sfv.list import List
from hypothesis import given
from hypothesis import strategies as st

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.rules import Rule
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import HeaderNames, HeaderStyle, ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from support.ratelimit_parts import (
    ListedRules,
    SaidStore,
    WindowStore,
    answer_of,
    descriptor_of,
    limit_of,
    rule_of,
    still_world,
)

SECOND_US = 1_000_000


def answered(
    rules: list[Rule], *verdicts: Verdict, store: WindowStore | None = None, **settings: Any
) -> RateLimitResponse:
    """Ask by one descriptor a rule, all of them at once, and return the answer."""
    book = ListedRules(*[(((f"k{index}", ""),), rule) for index, rule in enumerate(rules)])
    service = RateLimitService(
        rules=book, store=store or SaidStore(*verdicts), world=still_world(), statistics=Statistics(),
        settings=ServiceSettings(**settings),
    )  # fmt: skip
    return answer_of(service, *[descriptor_of((f"k{index}", "x")) for index in range(len(rules))])


def headers_of(answer: RateLimitResponse) -> dict[str, str]:
    headers = [(header.key, header.value) for header in answer.response_headers_to_add]
    assert len(dict(headers)) == len(headers), "one line a name"
    return dict(headers)


def passing(used: int, remaining: int, reset_s: float) -> Verdict:
    return Verdict(False, used, remaining, int(reset_s * SECOND_US))


def over(reset_s: float, retry_s: float | None = None) -> Verdict:
    retry_s = reset_s if retry_s is None else retry_s
    return Verdict(True, 9, 0, int(reset_s * SECOND_US), int(retry_s * SECOND_US))


def read_list(text: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return the items of a structured field and their parameters, by the parser of its authors."""
    found = List()
    found.parse(text.encode())
    return [(item.value, dict(item.params)) for item in found]


def test_none_by_default() -> None:
    assert headers_of(answered([rule_of("a", limit_of(5))], over(9))) == {}


# envoyproxy/ratelimit's


def test_the_limit_with_the_least_left_is_told() -> None:
    rules = [rule_of("a", limit_of(5)), rule_of("b", limit_of(50, Unit.HOUR)), rule_of("c", limit_of(7))]
    verdicts = [passing(1, 4, 20), passing(47, 3, 1999.5), passing(4, 3, 9)]
    told = headers_of(answered(rules, *verdicts, headers=(HeaderStyle.ENVOYPROXY,)))
    assert told == {"RateLimit-Limit": "50", "RateLimit-Remaining": "3", "RateLimit-Reset": "2000"}


def test_the_last_limit_that_refuses_is_told() -> None:
    rules = [
        rule_of("q", limit_of(1), quota=True),
        rule_of("a", limit_of(5)),
        rule_of("b", limit_of(6)),
        rule_of("c", limit_of(7)),
    ]
    told = headers_of(answered(rules, over(1), over(2), over(3), passing(1, 6, 4), headers=(HeaderStyle.ENVOYPROXY,)))
    assert told == {"RateLimit-Limit": "6", "RateLimit-Remaining": "0", "RateLimit-Reset": "3"}


def test_names_are_the_operators() -> None:
    names = HeaderNames("x-limit", "x-left", "x-again")
    told = answered(
        [rule_of("a", limit_of(5))], passing(1, 4, 2), headers=(HeaderStyle.ENVOYPROXY,), header_names=names
    )
    assert headers_of(told) == {"x-limit": "5", "x-left": "4", "x-again": "2"}


@pytest.mark.parametrize("style", HeaderStyle)
def test_without_a_limit_nothing_is_told(style: HeaderStyle) -> None:
    assert headers_of(answered([rule_of("a", unlimited=True)], headers=(style,), retry_after=True)) == {}


# draft-03


def test_draft_03_tells_each_window() -> None:
    rules = [
        rule_of("a", limit_of(100)),
        rule_of("b", limit_of(50, Unit.MINUTE, window_us=600 * SECOND_US), name="people"),
        rule_of("c", limit_of(8, Unit.UNKNOWN, window_us=60 * SECOND_US, algorithm=Algorithm.CONCURRENCY)),
    ]
    verdicts = [passing(1, 99, 20), passing(40, 10, 300), passing(1, 7, 60)]
    assert headers_of(answered(rules, *verdicts, headers=(HeaderStyle.DRAFT_03,))) == {
        "x-ratelimit-limit": '8, 100;w=60, 50;w=600;name="people"',
        "x-ratelimit-remaining": "7",
        "x-ratelimit-reset": "60",
    }


# The IETF's


def ietf(rules: list[Rule], *verdicts: Verdict, **settings: Any) -> tuple[list[Any], list[Any]]:
    told = headers_of(answered(rules, *verdicts, headers=(HeaderStyle.IETF,), **settings))
    assert set(told) == {"ratelimit-policy", "ratelimit"}
    return read_list(told["ratelimit-policy"]), read_list(told["ratelimit"])


def test_every_limit_is_a_policy_and_tells_where_it_stands() -> None:
    rules = [
        rule_of("a", limit_of(100), name="burst"),
        rule_of("b", limit_of(5, Unit.SECOND, window_us=10 * SECOND_US), limit_of(1000, Unit.DAY)),
        rule_of("c", limit_of(8, Unit.UNKNOWN, window_us=60 * SECOND_US, algorithm=Algorithm.CONCURRENCY)),
        rule_of("d", limit_of(9000, Unit.HOUR, algorithm=Algorithm.BUDGET)),
    ]
    verdicts = [passing(1, 99, 20), passing(2, 3, 7.2), passing(1, 999, 40_000), passing(1, 7, 60), over(1800, 30)]
    policies, limits = ietf(rules, *verdicts)
    assert policies == [
        ("burst", {"q": 100, "w": 60}),
        ("5-per-10-seconds", {"q": 5, "w": 10}),
        ("1000-per-day", {"q": 1000, "w": 86_400}),
        ("8-at-a-time", {"q": 8, "qu": "concurrent-requests"}),
        ("9000-per-hour", {"q": 9000, "qu": "units", "w": 3600}),
    ]
    assert limits == [
        ("burst", {"r": 99, "t": 20}),
        ("5-per-10-seconds", {"r": 3, "t": 8}),
        ("1000-per-day", {"r": 999, "t": 40_000}),
        ("8-at-a-time", {"r": 7, "t": 60}),
        ("9000-per-hour", {"r": 0, "t": 30}),
    ]


def test_two_policies_have_two_names() -> None:
    rules = [rule_of("a", limit_of(5)), rule_of("b", limit_of(5)), rule_of("c", limit_of(5), limit_of(6), name="n")]
    policies, limits = ietf(rules, *[passing(1, 4, 1)] * 4)
    names = ["5-per-minute", "5-per-minute-2", "n-5-per-minute", "n-6-per-minute"]
    assert [name for name, _ in policies] == [name for name, _ in limits] == names


def test_what_refuses_nothing_is_no_policy() -> None:
    rules = [rule_of("a", limit_of(5), shadow=True), rule_of("b", limit_of(6))]
    policies, _ = ietf(rules, over(9), passing(1, 5, 1))
    assert [name for name, _ in policies] == ["6-per-minute"]
    assert headers_of(answered(rules[:1], over(9), headers=(HeaderStyle.IETF,))) == {}
    assert headers_of(answered(rules, over(9), over(9), headers=(HeaderStyle.IETF,), shadow=True)) == {}


def test_policies_stay_whichever_limit_decides() -> None:
    rules = [rule_of("a", limit_of(5), limit_of(50, Unit.HOUR))]
    first, _ = ietf(rules, over(9), passing(1, 5, 1))
    second, _ = ietf(rules, passing(1, 4, 1), over(9))
    assert first == second


odd_names = ['a"b', "a\\b", "a\r\nset-cookie: x", "é", "n" * 200]
names = st.one_of(st.just(""), st.text(max_size=20), st.sampled_from(odd_names)).filter(
    lambda name: "secret" not in name
)
amounts = st.integers(0, 2**53 - 1)


@given(st.lists(st.tuples(names, amounts, st.integers(1, 2**48), st.sampled_from(Algorithm), st.booleans(),
                          amounts, st.integers(0, 2**48)), min_size=1, max_size=4))  # fmt: skip
def test_any_limits_make_well_formed_fields(said: list[tuple[str, int, int, Algorithm, bool, int, int]]) -> None:
    rules, verdicts = [], []
    for index, (name, amount, window_us, algorithm, is_over, remaining, reset_us) in enumerate(said):
        limit = limit_of(amount, Unit.UNKNOWN, window_us=window_us, algorithm=algorithm)
        rules.append(rule_of(f"rule-{index}-secret", limit, name=name))
        verdicts.append(Verdict(is_over, 1, remaining, reset_us, reset_us // 2 if is_over else 0))
    answer = answered(rules, *verdicts, headers=tuple(HeaderStyle), retry_after=True)
    told = headers_of(answer)
    assert "secret" not in str(told)
    for value in told.values():
        assert value.isascii() and value.isprintable()
    for name in ("ratelimit-policy", "ratelimit"):
        items = read_list(told[name])
        assert len({value for value, _ in items}) == len(said)
        for value, params in items:
            assert isinstance(value, str)
            assert params.get("w", 1) > 0
            assert all(params[key] >= 0 for key in ("q", "r", "t") if key in params)
            assert (
                {"q"} <= params.keys() <= {"q", "qu", "w"} if name.endswith("policy") else params.keys() == {"r", "t"}
            )


# Retry-After


@pytest.mark.parametrize(
    ("verdicts", "seconds"),
    [
        ([over(20, 3.1)], "4"),
        ([over(20, 0)], "1"),
        ([over(9), over(8), passing(1, 1, 90)], "9"),
        ([passing(1, 1, 9)], None),
    ],
)
def test_a_refusal_says_when_to_come_again(verdicts: list[Verdict], seconds: str | None) -> None:
    rules = [rule_of(f"r{index}", limit_of(5)) for index in range(len(verdicts))]
    assert headers_of(answered(rules, *verdicts, retry_after=True)).get("retry-after") == seconds


# Dynamic metadata


def metadata_of(answer: RateLimitResponse) -> dict[str, Any]:
    assert answer.HasField("dynamic_metadata")
    told: dict[str, Any] = json_format.MessageToDict(answer.dynamic_metadata)
    return told


def test_metadata_tell_what_was_asked() -> None:
    service = RateLimitService(
        rules=ListedRules(), store=WindowStore(), world=still_world(), statistics=Statistics(),
        settings=ServiceSettings(dynamic_metadata=True),
    )  # fmt: skip
    named = descriptor_of(("user", "ann"), ("path", b"/\xff"), ("borderpost.request", "r-1"), hits=0)
    own = descriptor_of(("user", "ann"), own=(5, Unit.HOUR, 2))
    assert metadata_of(answer_of(service, named, own, hits=3)) == {
        "domain": "shop",
        "descriptors": [
            {"entries": ["user=ann", "path=/\\xff"], "hitsAddend": 0},
            {"entries": ["user=ann"], "limit": "requests_per_unit:5 unit:HOUR unit_multiplier:{value:2}"},
        ],
        "hitsAddend": 3,
        "quotaModeEnabled": False,
    }


def test_metadata_of_rules_that_pass_are_merged() -> None:
    rules = [
        rule_of("a", limit_of(5), metadata={"tier": "gold", "at": {"x": 1, "y": [1, None, True]}}),
        rule_of("b", limit_of(5), metadata={"tier": "lead", "never": 1}),
        rule_of("c", limit_of(5), metadata={"tier": "tin", "at": {"x": 2, "z": "s"}, "more": {}}),
        rule_of("d", unlimited=True, metadata={"free": 1}),
    ]
    told = metadata_of(answered(rules, passing(1, 4, 1), over(1), passing(1, 4, 1), dynamic_metadata=True))
    assert told["metadata"] == {"tier": "gold", "at": {"x": 1, "y": [1, None, True], "z": "s"}, "more": {}}
    assert rules[0].metadata == {"tier": "gold", "at": {"x": 1, "y": [1, None, True]}}, "a rule's own stays as it is"


def test_metadata_tell_quotas_that_are_over() -> None:
    rules = [rule_of("a", limit_of(5), quota=True), rule_of("b", limit_of(5)), rule_of("c", limit_of(5), quota=True)]
    told = metadata_of(answered(rules, passing(1, 4, 1), over(1), over(1), dynamic_metadata=True))
    assert (told["quotaModeViolations"], told["quotaModeEnabled"]) == ([2], True)
