"""Our own format: what limits it makes, what is a mistake, and what of both formats is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost_base import limits
from borderpost_ratelimit.files import load
from borderpost_ratelimit.limits import PRICE_SCALE, SECOND_US, Algorithm, Scope, Unit, WhenAway
from support.ratelimit_files import book_of, mistakes_of, told, written

HEAD = "format: borderpost/1\ndomain: d\n"
WHOLE = (
    HEAD
    + """\
scope: global
when_store_away: refuse
descriptors:
  - key: tenant
    scope: region
    metadata: {tier: gold}
    limits:
      - {algorithm: token_bucket, amount: 600, every: minute, burst: 50}
      - {algorithm: concurrency, amount: 20, hold: 5m}
      - {algorithm: budget, amount: 100, every: month, price: 0.000002, reserve: 1, name: usd}
    descriptors:
      - key: model
        value: gpt-*
        share_threshold: true
        when_store_away: allow
        shadow_mode: true
        name: models
        limits: [{algorithm: sliding_window, amount: 3, every: 90s}]
  - key: other
    value: "007"
    replaces: [models]
    quota_mode: true
    limits: [{algorithm: fixed_window, amount: 0, every: 250ms}]
  - key: free
    unlimited: true
"""
)


def test_every_algorithm(tmp_path: Path) -> None:
    book = book_of(tmp_path, WHOLE)
    tenant, model, other, free = book.rules
    bucket, leases, budget = tenant.limits
    assert (bucket.algorithm, bucket.amount, bucket.burst, bucket.unit) == (
        Algorithm.TOKEN_BUCKET, 600, 50, Unit.MINUTE,
    )  # fmt: skip
    assert (leases.algorithm, leases.amount, leases.window_us, leases.unit) == (
        Algorithm.CONCURRENCY, 20, 300 * SECOND_US, Unit.UNKNOWN,
    )  # fmt: skip
    assert (budget.algorithm, budget.unit, budget.reserve, budget.price_nano) == (
        Algorithm.BUDGET, Unit.MONTH, 1, 2000,
    )  # fmt: skip
    assert budget.cost_of(600_000) == 2
    assert budget.cost_of(1) == 1
    assert {limit.scope for limit in tenant.limits} == {Scope.REGION}
    assert {limit.when_away for limit in tenant.limits} == {WhenAway.REFUSE}
    assert (model.limits[0].window_us, model.limits[0].unit) == (90 * SECOND_US, Unit.UNKNOWN)
    # What is said above holds below, until something else is said.
    assert (model.limits[0].scope, model.limits[0].when_away) == (Scope.REGION, WhenAway.ALLOW)
    assert (other.limits[0].scope, other.limits[0].when_away) == (Scope.GLOBAL, WhenAway.REFUSE)
    assert [rule.limits[0].binding for rule in (tenant, model, other)] == [True, False, False]
    assert (model.name, other.replaces, free.unlimited, free.limits) == ("models", ("models",), True, ())
    assert tenant.metadata == {"tier": "gold"}
    assert not book.findings


def test_each_limit_of_a_rule_has_its_counter(tmp_path: Path) -> None:
    book = book_of(tmp_path, WHOLE)
    found = book.match("d", (("tenant", "acme"),))
    assert found is not None
    assert found.keys == (
        "1:d6:tenant4:acmeb60", "1:d6:tenant4:acmec300", "1:d6:tenant4:acmeg2592000.usd",
    )  # fmt: skip
    brought = book.override("d", (("tenant", "acme"),), 5, Unit.DAY)
    assert brought is not None
    assert (brought.rule.limits[0].scope, brought.rule.limits[0].when_away) == (Scope.GLOBAL, WhenAway.REFUSE)


def test_both_formats_in_one_folder_and_one_domain(tmp_path: Path) -> None:
    theirs = "domain: d\ndescriptors: [{key: theirs, rate_limit: {unit: day, requests_per_unit: 1}}]\n"
    ours = HEAD + "descriptors: [{key: ours, limits: [{algorithm: budget, amount: 1, every: day}]}]\n"
    assert [error.code for error in mistakes_of(tmp_path, theirs, ours)] == ["BP1603"]
    assert [rule.path for rule in book_of(tmp_path, theirs, ours, merge=True).rules] == ["d.theirs", "d.ours"]


def test_what_holds_while_the_store_is_away_is_the_files_own_to_say(tmp_path: Path) -> None:
    limit = "descriptors: [{key: k, limits: [{algorithm: budget, amount: 1, every: day}]}]\n"
    folder = written(tmp_path, HEAD + limit, HEAD.replace(": d", ": e") + "when_store_away: local\n" + limit)
    silent, said = load([folder], when_away=WhenAway.ALLOW).rules
    assert (silent.limits[0].when_away, said.limits[0].when_away) == (WhenAway.ALLOW, WhenAway.LOCAL)


@pytest.mark.parametrize(
    ("text", "window_us"),
    [("1ms", 1000), ("90s", 90 * SECOND_US), ("15m", 900 * SECOND_US), ("6h", 21_600 * SECOND_US),
     ("30d", Unit.MONTH.length_us), ("1w", Unit.WEEK.length_us), ("year", Unit.YEAR.length_us)],
)  # fmt: skip
def test_times(tmp_path: Path, text: str, window_us: int) -> None:
    book = book_of(
        tmp_path, f"{HEAD}descriptors: [{{key: k, limits: [{{algorithm: budget, amount: 1, every: {text}}}]}}]\n"
    )
    limit = book.rules[0].limits[0]
    assert limit.window_us == window_us
    assert limit.unit is next((unit for unit in Unit if unit and unit.length_us == window_us), Unit.UNKNOWN)


LIMIT = HEAD + "descriptors:\n  - key: k\n    limits:\n      - {LIMIT}\n"
RULE = HEAD + "descriptors:\n  - key: k\n    RULE\n"
MANY = [f"{{algorithm: budget, amount: 1, every: {hours}h}}" for hours in range(1, limits.LIMITER_RULE_LIMITS_MAX + 2)]
ONE = "descriptors[0].limits[0]"


@pytest.mark.parametrize(
    ("limit", "code", "key"),
    [
        ("amount: 1, every: day", "BP0103", f"{ONE}.algorithm"),
        ("algorithm: leaky, amount: 1, every: day", "BP0104", f"{ONE}.algorithm"),
        ("algorithm: budget, every: day", "BP0103", f"{ONE}.amount"),
        ("algorithm: budget, amount: -1, every: day", "BP0104", f"{ONE}.amount"),
        ("algorithm: budget, amount: 1.5, every: day", "BP0104", f"{ONE}.amount"),
        ("algorithm: budget, amount: 1099511627777, every: day", "BP0104", f"{ONE}.amount"),
        ("algorithm: budget, amount: 1", "BP1610", ONE),
        ("algorithm: budget, amount: 1, every: fortnight", "BP1606", ONE),
        ("algorithm: budget, amount: 1, every: 0s", "BP0104", f"{ONE}.every"),
        ("algorithm: budget, amount: 1, every: 101000d", "BP1610", ONE),
        ("algorithm: budget, amount: 1, every: 60", "BP0104", f"{ONE}.every"),
        ("algorithm: budget, amount: 1, every: day, evry: day", "BP0102", f"{ONE}.evry"),
        ("algorithm: budget, amount: 1, every: day, price: 0.0000000001", "BP0104", f"{ONE}.price"),
        ("algorithm: budget, amount: 1, every: day, price: 0", "BP0104", f"{ONE}.price"),
        ("algorithm: budget, amount: 1, every: day, price: .nan", "BP0104", f"{ONE}.price"),
        ("algorithm: budget, amount: 1, every: day, burst: 3", "BP1610", ONE),
        ("algorithm: concurrency, amount: 1, every: day", "BP1610", ONE),
        ("algorithm: concurrency, amount: 1", "BP1610", ONE),
        ("algorithm: fixed_window, amount: 1, every: day, reserve: 3", "BP1610", ONE),
        ("algorithm: token_bucket, amount: 1, every: year, burst: 1000", "BP1610", ONE),
        ("algorithm: token_bucket, amount: 1, every: day, burst: 0", "BP0104", f"{ONE}.burst"),
        ("algorithm: budget, amount: 1, every: day, name: 'a b'", "BP0104", f"{ONE}.name"),
    ],
)
def test_mistakes_of_a_limit(tmp_path: Path, limit: str, code: str, key: str) -> None:
    (mistake,) = mistakes_of(tmp_path, LIMIT.replace("LIMIT", limit))
    assert (mistake.code, mistake.place.line, mistake.place.key) == (code, 6, key)


@pytest.mark.parametrize(
    ("rule", "code", "key"),
    [
        ("value: 5", "BP0104", "descriptors[0].value"),
        ("rate_limit: {unit: day}", "BP0102", "descriptors[0].rate_limit"),
        ("shadow_mode: true", "BP1613", "descriptors[0]"),
        ("metadata: {a: 1}", "BP1613", "descriptors[0]"),
        (f"limits: [{', '.join(MANY)}]", "BP0104", "descriptors[0].limits"),
        ("scope: world", "BP0104", "descriptors[0].scope"),
        ("unlimited: true\n    limits: [{algorithm: budget, amount: 1, every: day}]", "BP1607", "descriptors[0]"),
        ("unlimited: true\n    replaces: ['']", "BP1608", "descriptors[0]"),
        ("unlimited: true\n    name: n\n    replaces: [n]", "BP1608", "descriptors[0]"),
        ("unlimited: true\n    metadata: {a: [.inf]}", "BP0104", "descriptors[0].metadata.a[0]"),
        ("unlimited: true\n    share_threshold: true", "BP1609", "descriptors[0]"),
        (
            "limits: [{algorithm: budget, amount: 1, every: day}, {algorithm: budget, amount: 2, every: 24h}]",
            "BP1610",
            "descriptors[0]",
        ),
    ],
)
def test_mistakes_of_a_rule(tmp_path: Path, rule: str, code: str, key: str) -> None:
    (mistake,) = mistakes_of(tmp_path, RULE.replace("RULE", rule))
    assert (mistake.code, mistake.place.key) == (code, key)


def test_mistakes_of_a_file(tmp_path: Path) -> None:
    assert told(mistakes_of(tmp_path, "format: borderpost/2\ndomain: d\n")) == [("BP0104", 1, "format")]
    assert told(mistakes_of(tmp_path, "format: borderpost/1\n")) == [("BP0103", 1, "domain")]
    (mistake,) = mistakes_of(tmp_path, HEAD + "when_store_awy: local\n")
    assert (mistake.code, mistake.mend) == ("BP0102", "did you mean `when_store_away`?")


def test_a_price_is_kept_to_a_billionth(tmp_path: Path) -> None:
    book = book_of(tmp_path, LIMIT.replace("LIMIT", "algorithm: budget, amount: 1, every: day, price: 1.000000001"))
    assert book.rules[0].limits[0].price_nano == PRICE_SCALE + 1
