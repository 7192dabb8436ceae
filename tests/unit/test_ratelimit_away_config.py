"""The section `limiter.away`: what it becomes, what it refuses, and what holds for files that do not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.limiter.limits_watch import limits_of
from borderpost_base.errors import Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import load_yaml
from borderpost_ratelimit.away import AwaySettings
from borderpost_ratelimit.away.config import AwaySpec
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.limits import WhenAway


def read(text: str) -> AwaySpec:
    return validate(AwaySpec, load_yaml(text.encode(), "away.yaml"))


def test_defaults_leave_half_of_envoys_20_ms() -> None:
    settings = AwaySpec().settings()
    assert settings == AwaySettings(wait_us=10_000, failures=3, probe_first_us=100_000, probe_max_us=2_000_000)
    assert AwaySpec().when_store_away == "local"


def test_milliseconds_become_microseconds() -> None:
    spec = read("wait_ms: 2.5\nfailures: 7\nprobe_first_ms: 50\nprobe_max_ms: 900\n")
    assert spec.settings() == AwaySettings(wait_us=2500, failures=7, probe_first_us=50_000, probe_max_us=900_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wait_ms: 0\n", "away.yaml:1"),
        ("failures: 3\nwait_ms: 2000\n", "away.yaml:2"),
        ("failures: 0\n", "away.yaml:1"),
        ("probe_first_ms: 1\n", "away.yaml:1"),
        ("probe_first_ms: 500\nprobe_max_ms: 400\n", "`probe_first_ms` is more than `probe_max_ms`"),
        ("when_store_away: open\n", "away.yaml:1"),
        ("wait_m: 5\n", "did you mean `wait_ms`"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, told: str) -> None:
    with pytest.raises(Problems) as raised:
        read(text)
    (error,) = raised.value.errors
    assert told in f"{error} {error.mend}"


@pytest.mark.parametrize("chosen", ["local", "allow", "refuse"])
def test_a_file_that_does_not_say_has_the_choice_of_the_configuration(tmp_path: Path, chosen: str) -> None:
    (tmp_path / "theirs.yaml").write_text(
        "domain: theirs\ndescriptors:\n- key: k\n  rate_limit: {unit: hour, requests_per_unit: 5}\n"
    )
    (tmp_path / "ours.yaml").write_text(
        "format: borderpost/1\ndomain: ours\ndescriptors:\n"
        "- key: k\n  limits: [{algorithm: fixed_window, amount: 5, every: hour}]\n"
        "- key: said\n  when_store_away: allow\n  limits: [{algorithm: fixed_window, amount: 5, every: hour}]\n"
    )
    book = limits_of(LimitsSpec(limits=(tmp_path,), away=AwaySpec.model_validate({"when_store_away": chosen})))
    for domain, key, expected in (("theirs", "k", chosen), ("ours", "k", chosen), ("ours", "said", "allow")):
        match = book.match(domain, ((key, "v"),))
        assert match is not None and match.rule.limits[0].when_away is WhenAway(expected)
