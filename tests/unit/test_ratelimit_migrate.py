"""`borderpost ratelimit migrate`: where settings are found, what they become, and that no password is shown."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from borderpost.cli.ratelimit.counterparts import TAKEN, known_settings
from borderpost.cli.ratelimit.go_values import go_bool, go_int, go_seconds
from borderpost.cli.ratelimit.not_taken import NONE, OTHERWISE, PER_SECOND, SAME
from borderpost.cli.ratelimit.their_settings import read_settings
from borderpost.config.limiter_file import read_limiter
from borderpost_base.errors import BorderpostError

DATA = Path(__file__).resolve().parents[1] / "data/ratelimit"
SECRET = "hunter2-and-more"

TLS = (
    "GRPC_SERVER_USE_TLS=true\nGRPC_SERVER_TLS_CERT=/c\nGRPC_SERVER_TLS_KEY=/k\nGRPC_CLIENT_TLS_CACERT=/a\n"
    "GRPC_CLIENT_TLS_SAN=envoy.example"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def migrated(capsys: pytest.CaptureFixture[str], text: str, *words: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Migrate an environment file; return the configuration, and what became of each setting."""
    Path("settings.env").write_text(text)
    main(["ratelimit", "migrate", "settings.env", "--json", *words])
    told = json.loads(capsys.readouterr().out)
    assert "config" in told, told
    return told["config"], {each["setting"]: each["fate"] for each in told["settings"]}


def test_nothing_set_is_what_they_do_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    config, fates = migrated(capsys, "")
    assert fates == {}
    assert config["limiter"] == {
        "limits": ["/srv/runtime_data/current/config"],
        "server": {"listen": "tcp", "host": "0.0.0.0", "port": 8081, "plaintext": True},
        "admin": {"host": "0.0.0.0", "port": 8080},
        "key_style": "envoyproxy",
        "store": {"url": "unix:///var/run/nutcracker/ratelimit.sock", "prefix": ""},
    }


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("RUNTIME_ROOT=/data\nRUNTIME_SUBDIRECTORY=ratelimit", "limits", ["/data/ratelimit/config"]),
        ("RUNTIME_ROOT=/data\nRUNTIME_APPDIRECTORY=limits", "limits", ["/data/limits"]),
        ("MERGE_DOMAIN_CONFIG=true", "merge_domains", True),
        ("SHADOW_MODE=1", "shadow", True),
        ("QUOTA_MODE=t", "quota", True),
        ("NEAR_LIMIT_RATIO=0.9", "near_limit_ratio", 0.9),
        ("GRPC_UDS=/run/rl.sock", "server", {"listen": "unix", "socket": "/run/rl.sock"}),
        ("GRPC_HOST=127.0.0.1\nGRPC_PORT=9091", "server", {"listen": "tcp", "host": "127.0.0.1", "port": 9091}),
        (
            TLS,
            "server.tls",
            {"certificate": "/c", "key": "/k", "client_ca": "/a", "client_sans": ["envoy.example"]},
        ),
        ("HOST=127.0.0.1\nPORT=8000", "admin", {"host": "127.0.0.1", "port": 8000}),
        ("LIMIT_RESPONSE_HEADERS_ENABLED=true", "answers", {"headers": ["envoyproxy"]}),
        ("LIMIT_RESET_HEADER=X-Reset", "answers", {"header_names": {"reset": "X-Reset"}}),
        ("RESPONSE_DYNAMIC_METADATA=true", "answers.dynamic_metadata", True),
        ("REDIS_SOCKET_TYPE=tcp\nREDIS_URL=redis:6379", "store.url", "redis://redis:6379"),
        ("REDIS_SOCKET_TYPE=tcp\nREDIS_URL=r:1\nREDIS_TLS=true\nREDIS_TLS_CACERT=/a", "store.ca", "/a"),
        ("REDIS_SOCKET_TYPE=tcp\nREDIS_URL=r:1\nREDIS_TLS=true", "store.url", "rediss://r:1"),
        ("REDIS_URL=redis://r:1/3", "store.url", "redis://r:1/3"),
        ("REDIS_TYPE=sentinel\nREDIS_URL=main,a:1,b:2", "store.sentinels", ["a:1", "b:2"]),
        ("REDIS_TYPE=SENTINEL\nREDIS_URL=main,a:1,b:2", "store.primary", "main"),
        ("REDIS_TYPE=CLUSTER\nREDIS_URL=a:1,b:2\nREDIS_TLS=1", "store.tls", True),
        ("REDIS_TYPE=CLUSTER\nREDIS_URL=a:1,b:2", "store.cluster", ["a:1", "b:2"]),
        ("REDIS_TIMEOUT=1m30s", "store.timeout_s", 60.0),
        ("REDIS_TIMEOUT=250ms", "store.timeout_s", 0.25),
        ("CACHE_KEY_PREFIX=rl_", "store.prefix", "rl_"),
        ("LOCAL_CACHE_SIZE_IN_BYTES=1280", "store.near_cache_entries", 10),
        ("LOCAL_CACHE_SIZE_IN_BYTES=0", "store.near_cache_entries", 0),
    ],
)
def test_settings_become_keys(capsys: pytest.CaptureFixture[str], text: str, path: str, value: object) -> None:
    config, fates = migrated(capsys, text)
    found = config["limiter"]
    for part in path.split("."):
        found = found[part]
    assert found == value
    assert set(fates.values()) == {"taken"}


@pytest.mark.parametrize(
    ("text", "logs"),
    [
        ("LOG_LEVEL=WARN\nLOG_FORMAT=json", {"level": "warning", "format": "json"}),
        ("LOG_LEVEL=trace", {"level": "debug"}),
    ],
)
def test_logs(capsys: pytest.CaptureFixture[str], text: str, logs: dict[str, str]) -> None:
    assert migrated(capsys, text)[0]["logs"] == logs


@pytest.mark.parametrize(
    ("text", "fates"),
    [
        (
            "CONFIG_TYPE=GRPC_XDS_SOTW\nCONFIG_GRPC_XDS_NODE_ID=n",
            {"CONFIG_TYPE": "none", "CONFIG_GRPC_XDS_NODE_ID": "none"},
        ),
        (
            "CONFIG_TYPE=FILE\nXDS_CLIENT_BACKOFF_JITTER=true",
            {"CONFIG_TYPE": "so anyway", "XDS_CLIENT_BACKOFF_JITTER": "so anyway"},
        ),
        ("BACKEND_TYPE=memcache\nMEMCACHE_HOST_PORT=m:1", {"BACKEND_TYPE": "none", "MEMCACHE_HOST_PORT": "none"}),
        ("MEMCACHE_HOST_PORT=m:1", {"MEMCACHE_HOST_PORT": "so anyway"}),
        ("USE_STATSD=true\nSTATSD_HOST=s", {"USE_STATSD": "otherwise", "STATSD_HOST": "none"}),
        ("USE_STATSD=false\nSTATSD_HOST=s", {"USE_STATSD": "otherwise", "STATSD_HOST": "so anyway"}),
        ("TRACING_ENABLED=true\nTRACING_SERVICE_NAME=x", {"TRACING_ENABLED": "none", "TRACING_SERVICE_NAME": "none"}),
        ("TRACING_ENABLED=false", {"TRACING_ENABLED": "so anyway"}),
        ("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=true", {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "none"}),
        ("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=false", {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "so anyway"}),
        ("REDIS_PERSECOND=true\nREDIS_PERSECOND_URL=r:1", {"REDIS_PERSECOND": "none", "REDIS_PERSECOND_URL": "none"}),
        ("REDIS_PERSECOND_URL=r:1", {"REDIS_PERSECOND_URL": "so anyway"}),
        ("REDIS_TLS_SKIP_HOSTNAME_VERIFICATION=true", {"REDIS_TLS_SKIP_HOSTNAME_VERIFICATION": "none"}),
        ("GRPC_MAX_CONNECTION_AGE=1h", {"GRPC_MAX_CONNECTION_AGE": "otherwise"}),
        ("GRPC_UDS=/s\nGRPC_PORT=1", {"GRPC_UDS": "taken", "GRPC_PORT": "so anyway"}),
        ("REDIS_POOL_SIZE=10", {"REDIS_POOL_SIZE": "so anyway"}),
        ("REDIS_ULR=r:1\nPATH=/bin", {"REDIS_ULR": "none"}),
    ],
)  # fmt: skip
def test_what_becomes_of_the_others(capsys: pytest.CaptureFixture[str], text: str, fates: dict[str, str]) -> None:
    assert migrated(capsys, text)[1] == fates


def test_exit_says_whether_something_has_no_counterpart(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.env").write_text("REDIS_POOL_SIZE=10\n")
    assert main(["ratelimit", "migrate", "s.env"]) == 0
    Path("s.env").write_text("USE_DOG_STATSD=true\n")
    assert main(["ratelimit", "migrate", "s.env"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"USE_DOG_STATSD +none +nothing is sent to statsd", err)
    assert out.startswith("# From envoyproxy/ratelimit's settings")
    assert main(["ratelimit", "migrate"]) == 2
    assert main(["ratelimit", "migrate", "missing.env"]) == 2


def test_what_is_written_is_a_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "limits").mkdir()
    Path("s.env").write_text(
        "REDIS_TYPE=SENTINEL\nREDIS_URL=main,a:1\nREDIS_AUTH=me:x\nREDIS_SENTINEL_AUTH=y\nGRPC_PORT=9000\n"
        "LIMIT_RESPONSE_HEADERS_ENABLED=true\nLOG_LEVEL=debug\nSHADOW_MODE=true\n"
    )
    assert main(["ratelimit", "migrate", "s.env", "--limits", str(folder / "limits"), "--secrets", "keys"]) == 0
    Path("borderpost.yaml").write_text(capsys.readouterr().out)
    config = read_limiter(Path("borderpost.yaml"), environ={})
    store = config.limiter.store
    assert store is not None
    assert (store.primary, store.sentinels, store.username) == ("main", ("a:1",), "me")
    assert store.password() == "x"
    assert store.sentinel_login.password() == "y"
    assert (config.limiter.server.port, config.limiter.shadow, config.logs.level) == (9000, True, "debug")
    assert config.limiter.limits == (folder / "limits",)


@pytest.mark.parametrize(
    "text",
    [
        f"REDIS_AUTH={SECRET}",
        f"REDIS_AUTH=user:{SECRET}",
        f"REDIS_URL=redis://user:{SECRET}@redis:6379",
        f"REDIS_TYPE=SENTINEL\nREDIS_URL=main,redis://user:{SECRET}@a:1",
        f"REDIS_AUTH=user:{SECRET}\nREDIS_TIMEOUT=nonsense",
        f"REDIS_URL=redis://user:{SECRET}@redis:x",
        f"REDIS_URL=redis://user:{SECRET}@[redis:6379",
    ],
)
def test_no_password_is_shown(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("s.env").write_text(text)
    for words in (["--json"], [], ["--secrets", "keys"]):
        main(["ratelimit", "migrate", "s.env", *words])
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err
    written = Path("keys/redis-password")
    if written.exists():
        assert written.read_text() == SECRET
        assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_password_file_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.env").write_text(f"REDIS_AUTH={SECRET}")
    Path("keys").mkdir()
    Path("keys/redis-password").write_text("another's")
    assert main(["ratelimit", "migrate", "s.env", "--secrets", "keys"]) == 2
    assert Path("keys/redis-password").read_text() == "another's"
    assert "BP1619" in capsys.readouterr().err


COMPOSE = """\
services:
  redis: {image: "redis:alpine", environment: {REDIS_URL: "wrong:1"}}
  limits:
    image: envoyproxy/ratelimit:master
    env_file: [common.env, {path: none.env, required: false}]
    environment:
      - REDIS_URL=redis:6379
      - SHADOW_MODE=${SHADOW:-true}
      - LOG_LEVEL=${LEVEL}
      - CACHE_KEY_PREFIX=$$x
"""
KUBERNETES = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: common}
data: {GRPC_PORT: "9000", LOG_LEVEL: debug}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ratelimit}
spec:
  template:
    spec:
      containers:
        - {name: sidecar, image: "example/sidecar:1", env: [{name: REDIS_URL, value: wrong}]}
        - name: main
          image: registry.example/envoyproxy/ratelimit@sha256:abc
          envFrom: [{configMapRef: {name: common}}]
          env:
            - {name: REDIS_URL, value: "redis:6379"}
            - {name: REDIS_SOCKET_TYPE, value: tcp}
            - {name: PORT, value: "0070"}
            - {name: LOG_LEVEL, valueFrom: {configMapKeyRef: {name: common, key: LOG_LEVEL}}}
            - {name: REDIS_AUTH, valueFrom: {secretKeyRef: {name: redis, key: password}}}
"""


def test_compose_files(folder: Path) -> None:
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "common.env").write_text("# all\nexport REDIS_TYPE='SINGLE' # plain\nREDIS_SOCKET_TYPE=tcp # a remark\n")
    (folder / ".env").write_text("LEVEL=info\n")
    found = read_settings([Path("compose.yaml")], None)
    assert {name: given.value for name, given in found.items()} == {
        "REDIS_TYPE": "SINGLE", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379",
        "SHADOW_MODE": "true", "LOG_LEVEL": "info", "CACHE_KEY_PREFIX": "$x",
    }  # fmt: skip
    assert str(found["REDIS_URL"].place).startswith("compose.yaml:7")
    (folder / ".env").unlink()
    found = read_settings([Path("compose.yaml")], None)
    assert (found["LOG_LEVEL"].value, found["LOG_LEVEL"].elsewhere) == (None, "variable LEVEL")
    assert read_settings([Path("compose.yaml")], "redis")["REDIS_URL"].value == "wrong:1"


def test_kubernetes_manifests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "k.yaml").write_text(KUBERNETES)
    found = read_settings([Path("k.yaml")], None)
    assert {name: given.value for name, given in found.items()} == {
        "GRPC_PORT": "9000", "LOG_LEVEL": "debug", "REDIS_URL": "redis:6379", "REDIS_SOCKET_TYPE": "tcp",
        "PORT": "0070", "REDIS_AUTH": None,
    }  # fmt: skip
    assert found["REDIS_AUTH"].elsewhere == "Secret redis, key password"
    assert main(["ratelimit", "migrate", "k.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "password_file: secrets/redis-password" in out
    assert "its value is in Secret redis, key password" in err
    assert "secrets/redis-password: put the password here" in err


def test_an_environment_file_after_a_manifest_fills_what_it_does_not_say(folder: Path) -> None:
    (folder / "k.yaml").write_text(KUBERNETES)
    (folder / "more.env").write_text("REDIS_AUTH=x\n")
    found = read_settings([Path("k.yaml"), Path("more.env")], None)
    assert found["REDIS_AUTH"].value == "x"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (COMPOSE.replace("envoyproxy/ratelimit", "some/thing"), "BP0004"),
        (COMPOSE.replace("common.env", "gone.env"), "BP0003"),
        (KUBERNETES.replace("configMapRef: {name: common}", "secretRef: {name: hidden}"), "BP1619"),
        (KUBERNETES.replace("configMapRef: {name: common}", "configMapRef: {name: elsewhere}"), "BP1619"),
        ("a: [", "BP0101"),
        ("kind: Service\n", "BP0004"),
    ],
)
def test_manifests_that_do_not_say_it(folder: Path, text: str, code: str) -> None:
    (folder / "m.yaml").write_text(text)
    (folder / "common.env").write_text("")
    with pytest.raises(BorderpostError) as raised:
        read_settings([Path("m.yaml")], None)
    assert raised.value.code == code


def test_what_is_optional_may_be_missing(folder: Path) -> None:
    missing = "envFrom: [{secretRef: {name: s, optional: true}}, {configMapRef: {name: m, optional: true}}]"
    (folder / "k.yaml").write_text(KUBERNETES.replace("envFrom: [{configMapRef: {name: common}}]", missing))
    assert "GRPC_PORT" not in read_settings([Path("k.yaml")], None)


def test_lists_and_cron_jobs_hold_pods_too(folder: Path) -> None:
    (folder / "k.yaml").write_text(
        "kind: List\nitems:\n"
        "  - {kind: ConfigMap, metadata: {name: c}, data: {PORT: '1'}}\n"
        "  - kind: CronJob\n"
        "    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, command: [/bin/ratelimit],\n"
        "      env: [{name: PORT, valueFrom: {configMapKeyRef: {name: c, key: PORT}}},\n"
        "        {name: HOST, valueFrom: {configMapKeyRef: {name: c, key: HOST}}},\n"
        "        {name: GRPC_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]}]}}}}}\n"
    )
    found = read_settings([Path("k.yaml")], None)
    assert {name: (given.value, given.elsewhere) for name, given in found.items()} == {
        "PORT": ("1", ""), "HOST": (None, "ConfigMap c, key HOST"), "GRPC_HOST": (None, "fieldRef"),
    }  # fmt: skip


def test_a_value_that_is_not_at_hand_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "compose.yaml").write_text("services: {ratelimit: {image: ratelimit, environment: [GRPC_PORT]}}\n")
    assert main(["ratelimit", "migrate", "compose.yaml"]) == 2
    assert "the value of GRPC_PORT is not known: it stands in the environment of Compose" in capsys.readouterr().err
    (folder / "more.env").write_text("GRPC_PORT=9000\n")
    assert main(["ratelimit", "migrate", "compose.yaml", "more.env"]) == 0


@pytest.mark.parametrize("text", ["GRPC_PORT=many", "SHADOW_MODE=yes", "REDIS_TIMEOUT=10", "no assignment"])
def test_settings_that_go_does_not_take(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("s.env").write_text(text)
    assert main(["ratelimit", "migrate", "s.env"]) == 2
    assert "error[BP1619]" in capsys.readouterr().err


def test_values_that_we_do_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.env").write_text("GRPC_PORT=70000\nLIMIT_RESET_HEADER=a b\n")
    assert main(["ratelimit", "migrate", "s.env"]) == 2
    err = capsys.readouterr().err
    assert "limiter.server.port" in err
    assert "limiter.answers.header_names.reset" in err


def test_the_environment_is_read_on_demand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PORT", "9000")
    monkeypatch.setenv("REDIS_UNKNOWN", "x")
    assert main(["ratelimit", "migrate", "--environment", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"]["limiter"]["server"]["port"] == 9000
    assert [each["setting"] for each in told["settings"] if each["setting"].startswith("REDIS")] == []


def test_every_setting_is_known() -> None:
    lines = (DATA / "settings.txt").read_text().splitlines()
    theirs = {line for line in lines if not line.startswith("#")}
    # Two stand in their README alone.
    assert known_settings().keys() - theirs == {
        "REDIS_POOL_ON_EMPTY_WAIT_DURATION", "REDIS_PERSECOND_POOL_ON_EMPTY_WAIT_DURATION",
    }  # fmt: skip
    assert theirs <= known_settings().keys()
    names = [*TAKEN, *PER_SECOND, *SAME, *OTHERWISE, *NONE]
    assert len(names) == len(set(names))


def test_values_as_go_reads_them() -> None:
    assert [go_seconds(text) for text in ("0", "10s", "1h30m", "150us", "1.5ms", "2µs")] == [
        0.0, 10.0, 5400.0, 0.00015, 0.0015, 0.000002,
    ]  # fmt: skip
    assert (go_bool("T"), go_bool("0"), go_int("-3")) == (True, False, -3)
    for read, text in ((go_seconds, "10"), (go_seconds, "s"), (go_seconds, "1s x"), (go_bool, "yes"), (go_int, "1_0")):
        with pytest.raises(ValueError, match="this is"):
            read(text)
