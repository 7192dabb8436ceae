"""The configuration of a limiter that runs alone: its own sections, its defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.config.limiter import LimiterConfig, LimiterSection
from borderpost.config.limiter_file import read_limiter
from borderpost.config.load import read_config
from borderpost_base.errors import Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import YamlDocument
from borderpost_ratelimit.settings import HeaderStyle, QuotaRule


def read(
    folder: Path, config: dict[str, Any], environ: dict[str, str] | None = None, **overrides: str
) -> LimiterConfig:
    file = folder / "limiter.yaml"
    file.write_text(yaml.safe_dump(config))
    return read_limiter(file, {key.replace("__", "."): text for key, text in overrides.items()}, environ or {})


def refused(folder: Path, config: dict[str, Any], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(Problems) as found:
        read(folder, config, environ)
    return [f"{error.code} {error.place.key}: {error.detail} / {error.mend}" for error in found.value.errors]


def test_alone_it_listens_on_loopback_where_envoyproxys_listens() -> None:
    alone = read_limiter(None, {"limiter.limits": "[limits]"}, {}).limiter
    assert (alone.server.listen, alone.server.host, alone.server.port) == ("tcp", "127.0.0.1", 8081)
    assert alone.admin is not None
    assert (alone.admin.host, alone.admin.port) == ("127.0.0.1", 8080)
    assert alone.limits == (Path.cwd() / "limits",)


def test_beside_workers_it_has_a_socket_and_no_endpoints_of_its_own() -> None:
    section = LimiterSection(limits=(Path("limits"),))
    assert (section.server.listen, section.server.mode, section.admin) == ("unix", "0660", None)
    assert section.server.socket == Path("run/server/limiter.sock")


@pytest.mark.parametrize(
    ("server", "door", "socket"),
    [
        ({}, {}, "run/server/limiter.sock"),
        ({"directory": "doors"}, {}, "doors/limiter.sock"),
        ({"directory": "/doors"}, {"mode": "0600"}, "/doors/limiter.sock"),
        ({"directory": "doors"}, {"socket": "own/l.sock"}, "own/l.sock"),
    ],
)
def test_its_socket_lies_beside_the_workers(
    tmp_path: Path, server: dict[str, Any], door: dict[str, Any], socket: str
) -> None:
    whole = {"here": {"country": "DE"}, "regions": {"eu": {"country": "DE"}}, "server": server}
    file = tmp_path / "borderpost.yaml"
    file.write_text(yaml.safe_dump({**whole, "limiter": {"limits": ["a"], "server": door}}))
    config, _ = read_config(file)
    assert config.limiter is not None
    assert config.limiter.server.socket == tmp_path / socket


def test_what_a_file_says_stays_and_paths_are_its_folders(tmp_path: Path) -> None:
    config = read(tmp_path, {"limiter": {"limits": ["a"], "server": {"listen": "unix", "socket": "s/l.sock"}}})
    assert (config.limiter.server.listen, config.limiter.server.socket) == ("unix", tmp_path / "s/l.sock")
    assert config.limiter.limits == (tmp_path / "a",)
    assert config.audit is None


def test_without_a_word_on_listening_the_rest_of_the_section_counts(tmp_path: Path) -> None:
    config = read(tmp_path, {"limiter": {"limits": ["a"], "server": {"port": 9999, "drain_s": 1.5}}})
    assert (config.limiter.server.listen, config.limiter.server.port, config.limiter.server.drain_s) == (
        "tcp",
        9999,
        1.5,
    )


def test_sections_and_variables_of_a_gateway_are_passed_over(tmp_path: Path) -> None:
    whole = {"here": {"country": "DE"}, "regions": {"eu": {"country": "DE"}}, "limiter": {"limits": ["a"]}}
    environ = {"BORDERPOST_SERVER__WORKERS": "4", "BORDERPOST_LIMITER__SHADOW": "true"}
    assert read(tmp_path, whole, environ).limiter.shadow


def test_what_is_no_section_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert refused(tmp_path, {"limiter": {"limits": ["a"]}, "limitter": {}}) == [
        "BP0102 limitter: `limitter` is not known here / did you mean `limiter`?"
    ]
    assert refused(tmp_path, {"limiter": {"limits": ["a"], "sever": {}}}) == [
        "BP0102 limiter.sever: `sever` is not known here / did you mean `server`?"
    ]
    told = refused(tmp_path, {"limiter": {"limits": ["a"]}}, {"BORDERPOST_LIMITER__WATHC": "true"})
    assert told == ["BP0107 None: `BORDERPOST_LIMITER__WATHC` sets nothing / did you mean `BORDERPOST_LIMITER__WATCH`?"]


@pytest.mark.parametrize("config", [{}, {"limiter": {}}, {"limiter": {"limits": []}}])
def test_a_limiter_needs_limits(tmp_path: Path, config: dict[str, Any]) -> None:
    assert refused(tmp_path, config)[0].startswith(("BP1650", "BP0104"))


def test_beyond_loopback_callers_are_known_or_it_is_said_that_others_keep_them_out(tmp_path: Path) -> None:
    beyond = {"limits": ["a"], "server": {"host": "10.0.0.1"}}
    assert "without `tls.client_ca`" in refused(tmp_path, {"limiter": beyond})[0]
    beyond["server"] = {"host": "10.0.0.1", "plaintext": True}
    assert read(tmp_path, {"limiter": beyond}).limiter.server.host == "10.0.0.1"


def test_the_same_holds_of_workers_and_nothing_lets_the_network_in_there() -> None:
    from borderpost.config.sections import ServerSpec

    document = YamlDocument("file", {"listen": "tcp", "host": "10.0.0.1"})
    with pytest.raises(Problems):
        validate(ServerSpec, document)


def test_a_service_is_made_with_what_the_section_says() -> None:
    section = LimiterSection.model_validate(
        {
            "limits": ["a"],
            "shadow": True,
            "quota": True,
            "quota_rule": "never",
            "descriptors_max": 7,
            "entries_max": 6,
            "remembered_requests_max": 5,
            "answers": {
                "headers": ["ietf", "envoyproxy"],
                "header_names": {"limit": "A", "remaining": "B", "reset": "C"},
                "retry_after": True,
                "dynamic_metadata": True,
            },
        }
    )
    made = section.service_settings()
    assert made.headers == (HeaderStyle.IETF, HeaderStyle.ENVOYPROXY)
    assert (made.header_names.limit, made.header_names.remaining, made.header_names.reset) == ("A", "B", "C")
    assert (made.retry_after, made.dynamic_metadata, made.shadow, made.quota) == (True, True, True, True)
    assert made.quota_rule is QuotaRule.NEVER
    assert (made.descriptors_max, made.entries_max, made.remembered_requests_max) == (7, 6, 5)
