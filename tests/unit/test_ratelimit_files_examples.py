"""The behaviour that envoyproxy/ratelimit's README shows in its eleven examples, through files, service and store."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from support.ratelimit_files import Limiter, book_of

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
UINT32_MAX = 2**32 - 1


def test_1_values_of_one_key_have_limits_of_their_own(tmp_path: Path) -> None:
    text = """
    domain: connections
    descriptors:
      - key: table
        value: orders
        rate_limit: {unit: second, requests_per_unit: 5}
      - key: table
        value: other
        rate_limit: {unit: second, requests_per_unit: 3}
    """
    limiter = Limiter(tmp_path, text, domain="connections")
    assert limiter.passes((("table", "orders"),)) == 5
    assert limiter.passes((("table", "other"),)) == 3
    assert limiter.passes((("table", "third"),), at_most=20) == 20
    assert limiter.book.domains == {"connections"}


MESSAGES = """
domain: messages
descriptors:
  - key: kind
    value: advert
    descriptors:
      - key: number
        rate_limit: {unit: day, requests_per_unit: 5}
  - key: number
    rate_limit: {unit: day, requests_per_unit: 8}
"""


def test_2_nested_descriptors_count_each_value_apart(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, MESSAGES, domain="messages")
    for number in ("111", "222"):
        assert limiter.passes((("kind", "advert"), ("number", number))) == 5
        assert limiter.passes((("number", number),)) == 8
    assert limiter.passes((("kind", "receipt"), ("number", "111")), at_most=20) == 20


def test_2_a_request_passes_if_all_of_its_descriptors_do(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, MESSAGES, domain="messages")
    both = ((("kind", "advert"), ("number", "111")), (("number", "111"),))
    assert limiter.passes(*both) == 5
    refused = limiter.ask(*both)
    assert [status.code for status in refused.statuses] == [OVER, OK]
    # What was refused was counted by the other descriptor all the same: 7 requests, one left of 8.
    assert refused.statuses[1].limit_remaining == 1


def test_3_key_with_value_is_met_before_key_alone(tmp_path: Path) -> None:
    text = """
    domain: addresses
    descriptors:
      - key: address
        rate_limit: {unit: second, requests_per_unit: 10}
      - key: address
        value: 50.0.0.5
        rate_limit: {unit: second, requests_per_unit: 0}
    """
    limiter = Limiter(tmp_path, text, domain="addresses")
    assert limiter.passes((("address", "50.0.0.1"),)) == 10
    assert limiter.passes((("address", "50.0.0.5"),)) == 0
    assert limiter.passes((("address", "50.0.0.2"),)) == 10


@pytest.mark.parametrize("nested", [False, True])
def test_4_a_descriptor_must_be_as_deep_as_the_rule(tmp_path: Path, nested: bool) -> None:
    limit = "rate_limit: {unit: second, requests_per_unit: 3}"
    text = f"""
    domain: depth
    descriptors:
      - key: key
        value: value
        {"descriptors: [{key: subkey, " + limit + "}]" if nested else limit}
    """
    limiter = Limiter(tmp_path, text, domain="depth")
    deep, flat = (("key", "value"), ("subkey", "subvalue")), (("key", "value"),)
    assert (limiter.book.match("depth", deep) is not None) is nested
    assert (limiter.book.match("depth", flat) is not None) is not nested


def test_5_unlimited_passes_and_says_so(tmp_path: Path) -> None:
    text = """
    domain: internal
    descriptors:
      - key: directory
        rate_limit: {unlimited: true}
      - key: cloud
        rate_limit: {unit: minute, requests_per_unit: 4}
    """
    limiter = Limiter(tmp_path, text, domain="internal")
    unlimited, unknown = limiter.ask((("directory", ""),), (("other", ""),)).statuses
    assert (unlimited.code, unlimited.limit_remaining) == (OK, UINT32_MAX)
    assert (unknown.code, unknown.limit_remaining) == (OK, 0)
    assert limiter.passes((("cloud", ""),)) == 4


def test_6_shadow_mode_refuses_nothing_and_counts(tmp_path: Path) -> None:
    text = """
    domain: soft
    descriptors:
      - key: service
        descriptors:
          - key: user
            value: ann
            rate_limit: {unit: second, requests_per_unit: 10}
            shadow_mode: true
          - key: user
            value: bob
            rate_limit: {unit: second, requests_per_unit: 20}
    """
    limiter = Limiter(tmp_path, text, domain="soft")
    assert limiter.passes((("service", "auth"), ("user", "ann")), at_most=30) == 30
    assert limiter.passes((("service", "auth"), ("user", "bob"))) == 20
    counts = limiter.statistics.of_rule("soft.service.user_ann")
    assert (counts.total_hits, counts.over_limit, counts.shadow_mode) == (30, 20, 20)


def test_7_a_rule_replaces_another_of_the_same_request(tmp_path: Path) -> None:
    text = """
    domain: replacing
    descriptors:
      - key: kind
        value: read
        descriptors:
          - key: user
            value: ann
            rate_limit: {name: reads, unit: second, requests_per_unit: 5}
      - key: path
        value: /large
        descriptors:
          - key: user
            value: ann
            rate_limit: {replaces: [{name: reads}], unit: second, requests_per_unit: 10}
    """
    limiter = Limiter(tmp_path, text, domain="replacing")
    reads, large = (("kind", "read"), ("user", "ann")), (("path", "/large"), ("user", "ann"))
    assert limiter.passes(reads, large) == 10
    # The replaced rule has counted nothing.
    assert limiter.passes(reads) == 5
    assert limiter.ask(reads).statuses[0].current_limit.name == "reads"


def test_8_detailed_metric_names_values_that_the_file_does_not(tmp_path: Path) -> None:
    text = """
    domain: detail
    descriptors:
      - key: k
        detailed_metric: true
        rate_limit: {unit: minute, requests_per_unit: 10}
      - key: k
        value: v
        rate_limit: {unit: minute, requests_per_unit: 20}
    """
    limiter = Limiter(tmp_path, text, domain="detail")
    assert limiter.passes((("k", "one"),)) == limiter.passes((("k", "two"),)) == 10
    assert limiter.passes((("k", "v"),)) == 20
    assert limiter.names() == {"detail.k_one", "detail.k_two", "detail.k_v"}


@pytest.mark.parametrize(
    ("pattern", "met", "unmet"),
    [
        ("value*", ["value", "value1", "valueXYZ", "value*"], ["val", "Value1", "a value"]),
        ("/api/*/action", ["/api/123/action", "/api//action", "/api/a/b/action"], ["/api/123/other", "/api/action"]),
        (
            "/api/*/resource/*/action",
            ["/api/v1/resource/123/action", "/api/v2/resource/456/action"],
            ["/api/v1/resource/action", "/api/v1/source/1/action", "/api/resource/1/action"],
        ),
        ("*", ["", "x", "*"], []),
        ("*end", ["end", "the end"], ["ending", "END"]),
        ("a**b", ["ab", "a-b"], ["a", "ba"]),
        ("aa*aa", ["aaaa", "aa-aa"], ["aaa", "aa"]),
        ("a*b*b", ["abb", "a-b-b"], ["ab"]),
    ],
)
def test_9_wildcards_stand_for_any_characters(tmp_path: Path, pattern: str, met: list[str], unmet: list[str]) -> None:
    text = f"""
    domain: wild
    descriptors:
      - key: path
        value: "{pattern}"
        rate_limit: {{unit: minute, requests_per_unit: 2}}
    """
    book = book_of(tmp_path, text)
    assert [value for value in [*met, *unmet] if book.match("wild", (("path", value),)) is not None] == met
    # Each value has a counter of its own.
    assert len({book.match("wild", (("path", value),)).keys for value in met}) == len(met)  # type: ignore[union-attr]


def test_10_value_to_metric_names_values_of_the_request(tmp_path: Path) -> None:
    text = """
    domain: named
    descriptors:
      - key: route
        value_to_metric: true
        descriptors:
          - key: method
            value_to_metric: true
            descriptors:
              - key: subject
                rate_limit: {unit: minute, requests_per_unit: 60}
      - key: user
        value_to_metric: true
        descriptors:
          - key: action
            value: read*
            value_to_metric: true
            descriptors:
              - key: resource
                rate_limit: {unit: minute, requests_per_unit: 100}
    """
    limiter = Limiter(tmp_path, text, domain="named")
    limiter.ask((("route", "api"), ("method", "GET"), ("subject", "123")))
    limiter.ask((("route", "web"), ("method", "POST"), ("subject", "456")))
    limiter.ask((("user", "ann"), ("action", "readfile"), ("resource", "documents")))
    assert limiter.names() == {
        "named.route_api.method_GET.subject",
        "named.route_web.method_POST.subject",
        "named.user_ann.action_readfile.resource",
    }


FILES = """
domain: sharing
descriptors:
  - key: path
    value: files/*
    share_threshold: {shared}
    value_to_metric: true
    rate_limit: {{unit: hour, requests_per_unit: 10}}
"""


def test_11_values_of_a_shared_wildcard_count_together(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, FILES.format(shared="true"), domain="sharing")
    assert limiter.passes((("path", "files/a.pdf"),), at_most=5) == 5
    assert limiter.passes((("path", "files/b.csv"),)) == 5
    assert limiter.passes((("path", "files/c.txt"),)) == 0
    assert limiter.names() == {"sharing.path_files/*"}


def test_11_without_sharing_each_value_counts_apart(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, FILES.format(shared="false"), domain="sharing")
    assert limiter.passes((("path", "files/a.pdf"),)) == limiter.passes((("path", "files/b.csv"),)) == 10
    assert limiter.names() == {"sharing.path_files/a.pdf", "sharing.path_files/b.csv"}
