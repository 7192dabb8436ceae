"""The ranking section: what it accepts, and how mistakes are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.regions.config import ProbeSpec, RankingSpec, split_host_port
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import load_yaml

EXAMPLE = b"""
prefer: [table, probe]
tie_margin_ms: 5
latency_ms: {EU: {eu-central-1: 20}, DE: {eu-central-1: 8.5}, "*": {us-east-1: 120}}
probes:
  eu-central-1:
    {kind: http, address: "127.0.0.1:8081", path: /health, interval_s: 2, timeout_s: 1, healthy_after: 2,
     unhealthy_after: 2}
"""


def problems_of(text: str) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        validate(RankingSpec, load_yaml(text.encode(), "f.yaml"))
    return list(caught.value.errors)


def test_example_and_defaults() -> None:
    spec = validate(RankingSpec, load_yaml(EXAMPLE, "f.yaml"))
    assert spec.latency_ms["DE"]["eu-central-1"] == 8.5
    assert spec.probes["eu-central-1"] == ProbeSpec(address="127.0.0.1:8081", path="/health", interval_s=2)
    assert RankingSpec().mistakes([], []) == []


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:65535", ("::1", 65535)),
        ("a-1.example_x.org:1", ("a-1.example_x.org", 1)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_host_port(address) == parts


@given(st.text(alphabet="[]:.0123456789af-xé ", max_size=20))
def test_any_address_is_split_or_refused(address: str) -> None:
    try:
        host, port = split_host_port(address)
    except BorderpostError as error:
        assert error.code == "BP0701"
    else:
        assert host and 1 <= port <= 65535
        assert address in {f"{host}:{port}", f"[{host}]:{port}"} or address.endswith(str(port))


@pytest.mark.parametrize(
    ("probe", "code"),
    [
        ("{address: host}", "BP0701"),
        ("{address: 'host:0'}", "BP0701"),
        ("{address: 'host:65536'}", "BP0701"),
        ("{address: 'host:٣'}", "BP0701"),
        ("{address: '::1:80'}", "BP0701"),
        ("{address: '[1.2.3.4]:80'}", "BP0701"),
        ("{address: 'a b:80'}", "BP0701"),
        ("{address: 'h:1', path: health}", "BP0701"),
        ("{address: 'h:1', path: \"/a\\r\\nx: y\"}", "BP0701"),
        ("{address: 'h:1', path: '/é'}", "BP0701"),
        ("{address: 'h:1', interval_s: 1, timeout_s: 2}", "BP0702"),
        ("{address: 'h:1', kind: tcp, path: /x}", "BP0702"),
        ("{address: 'h:1', kind: udp}", "BP0104"),
        ("{address: 'h:1', host: \"a\\r\\nb\"}", "BP0104"),
        ("{address: 'h:1', expect: []}", "BP0104"),
        ("{address: 'h:1', unhealthy_after: 0}", "BP0104"),
        ("{address: 'h:1', intervall_s: 1}", "BP0102"),
        ("{kind: tcp}", "BP0103"),
    ],
)
def test_probe_mistakes_have_a_code_and_a_line(probe: str, code: str) -> None:
    found = problems_of(f"\nprobes:\n  eu: {probe}\n")
    assert {error.code for error in found} == {code}
    assert all(error.place.line == 3 for error in found)


def test_ranking_mistakes() -> None:
    assert problems_of("prefer: [table, table]")[0].code == "BP0702"
    assert problems_of("prefer: []")[0].code == "BP0104"
    assert problems_of("tie_margin_ms: -1")[0].code == "BP0104"
    assert problems_of("latency_ms: {DE: {eu: .inf}}")[0].code == "BP0104"


def test_names_are_checked_against_catalogue_and_groups() -> None:
    spec = RankingSpec.model_validate(
        {
            "latency_ms": {"EEA": {"eu-1": 1}, "EU": {"eu-l": 1}, "DE-HE": {}, "*": {}, "de": {}, "Eurpe": {}},
            "probes": {"eu_1": {"address": "h:1"}, "zzz": {"address": "h:1"}},
        }
    )
    found = spec.mistakes(["eu-1", "us-1"], ["EU", "EEA", "Europe"], file="f.yaml")
    told = {(error.code, error.place.key): error.mend for error in found}
    assert told[("BP0703", "ranking.probes.eu_1")] == "did you mean `eu-1`?"
    assert told[("BP0703", "ranking.latency_ms.EU.eu-l")] == "did you mean `eu-1`?"
    assert told[("BP0704", "ranking.latency_ms.Eurpe")] == "did you mean `Europe`?"
    assert set(told) == {
        ("BP0703", "ranking.probes.eu_1"),
        ("BP0703", "ranking.probes.zzz"),
        ("BP0703", "ranking.latency_ms.EU.eu-l"),
        ("BP0704", "ranking.latency_ms.de"),
        ("BP0704", "ranking.latency_ms.Eurpe"),
    }
