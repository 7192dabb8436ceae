"""What the doctor reads: dumps with all that was discovered, addresses of this machine, and input that is none."""

from __future__ import annotations

import copy
import http.server
import json
import random
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from borderpost.reports.finding import Finding, Level
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.json_source import load_json
from borderpost_envoy.doctor import Source, examine, read_admin, read_configuration, read_file
from borderpost_envoy.doctor.message import Message
from support.doctor_cases import Tree, clusters, door, entry, listener, manager, rendered, table
from support.doctor_examples import CASES

_ADMIN = "type.googleapis.com/envoy.admin.v3."


def source(tree: Any, file: str | None = "dump.json") -> Source:
    return Source(load_json(json.dumps(tree, indent=1).encode(), file or "admin"), file)


def examined(tree: Any) -> list[Finding]:
    return examine(read_configuration(source(tree)))


def codes(findings: list[Finding]) -> list[str]:
    return sorted({finding.rule.id for finding in findings})


def dump_of(tree: Tree) -> Tree:
    """Return the dump of an Envoy that got all of a bootstrap by discovery, as far as that can be."""
    tree = copy.deepcopy(tree)
    routes = table(tree)
    config = manager(tree)
    del config["route_config"]
    config["rds"] = {"route_config_name": routes["name"], "config_source": {"ads": {}}}
    assignments = []
    for one in clusters(tree):
        if one["name"] != "borderpost":
            assignments.append(one.pop("load_assignment"))
            one["type"] = "EDS"
    state = {"version_info": "1", "listener": _typed("listener", "Listener", listener(tree))}
    return {
        "configs": [
            {"@type": f"{_ADMIN}BootstrapConfigDump", "bootstrap": {"admin": tree["admin"]}},
            {
                "@type": f"{_ADMIN}ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": _typed("cluster", "Cluster", one)} for one in clusters(tree)],
            },
            {
                "@type": f"{_ADMIN}ListenersConfigDump",
                "dynamic_listeners": [{"name": "ingress", "active_state": state}],
            },
            {
                "@type": f"{_ADMIN}RoutesConfigDump",
                "dynamic_route_configs": [{"route_config": _typed("route", "RouteConfiguration", routes)}],
            },
            {
                "@type": f"{_ADMIN}EndpointsConfigDump",
                "dynamic_endpoint_configs": [
                    {"endpoint_config": _typed("endpoint", "ClusterLoadAssignment", one)} for one in assignments
                ],
            },
        ]
    }


def _typed(package: str, name: str, value: Tree) -> Tree:
    return {"@type": f"type.googleapis.com/envoy.config.{package}.v3.{name}", **value}


def part(dump: Tree, kind: str) -> Tree:
    found: Tree = next(one for one in dump["configs"] if one["@type"].endswith(kind))
    return found


def test_a_dump_is_read_like_what_it_was_made_of() -> None:
    assert examined(dump_of(rendered("proc"))) == []
    seen: set[str] = set()
    for one in CASES:
        if one.base == "proc" and one.rule not in seen and one.id not in UNLIKE:
            seen.add(one.rule)
            assert codes(examine(read_configuration(source(dump_of(one.spoiled()))), one.expected)) == sorted(
                {one.rule, *one.also}
            ), one.id


UNLIKE = {
    *(one.id for one in CASES if one.rule in ("BPD002", "BPD049")),  # several listeners, other discoveries
    *(
        "BPD030-forward-proxy",
        "BPD033-aggregate",
        "BPD033-composite",
        "BPD017-other-socket",
    ),  # clusters that have no endpoints to discover
}


def test_what_a_dump_lacks_is_told() -> None:
    whole = dump_of(rendered("proc"))
    for kind in ("ListenersConfigDump", "ClustersConfigDump", "BootstrapConfigDump"):
        dump = {"configs": [one for one in whole["configs"] if not one["@type"].endswith(kind)]}
        findings = [one for one in examined(dump) if kind in one.message]
        assert [(one.rule.id, one.level) for one in findings] == [("BPD049", Level.ERROR)]
    for kind, words in (("RoutesConfigDump", "routes `borderpost`"), ("EndpointsConfigDump", "endpoints")):
        dump = {"configs": [one for one in whole["configs"] if not one["@type"].endswith(kind)]}
        assert {one.rule.id for one in examined(dump)} == {"BPD049"}
        assert all(words in one.message for one in examined(dump))


def test_a_refused_update_is_told() -> None:
    dump = dump_of(rendered("proc"))
    (one,) = part(dump, "ListenersConfigDump")["dynamic_listeners"]
    one["error_state"] = {"details": "no such cluster", "failed_configuration": {"name": "ingress"}}
    part(dump, "ClustersConfigDump")["dynamic_warming_clusters"] = [
        {"error_state": {"details": "bad", "failed_configuration": {"name": "eu-1"}}}
    ]
    told = [(found.subject, found.message) for found in examined(dump)]
    assert told == [
        ("cluster `eu-1`", "Envoy refused an update: bad"),
        ("listener `ingress`", "Envoy refused an update: no such cluster"),
    ]


def test_what_is_warming_counts_beside_what_runs() -> None:
    dump = dump_of(rendered("proc"))
    listeners = part(dump, "ListenersConfigDump")["dynamic_listeners"][0]
    listeners["warming_state"] = copy.deepcopy(listeners["active_state"])
    config = listeners["warming_state"]["listener"]["filter_chains"][0]["filters"][0]["typed_config"]
    config["http_filters"][0]["typed_config"]["failure_mode_allow"] = True
    clusters_dump = part(dump, "ClustersConfigDump")
    clusters_dump["dynamic_warming_clusters"] = [clusters_dump["dynamic_active_clusters"].pop(1)]
    assert codes(examined(dump)) == ["BPD003", "BPD036"]


def test_a_filter_that_was_discovered_is_ours() -> None:
    dump = dump_of(rendered("proc"))
    listeners = part(dump, "ListenersConfigDump")["dynamic_listeners"][0]["active_state"]
    chain = listeners["listener"]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    config = chain[0].pop("typed_config")
    chain[0]["config_discovery"] = {"config_source": {"ads": {}}}
    assert "BPD001" in codes(examined(dump))
    dump["configs"].append(
        {
            "@type": f"{_ADMIN}EcdsConfigDump",
            "ecds_filters": [
                {
                    "ecds_filter": _typed(
                        "core", "TypedExtensionConfig", {"name": chain[0]["name"], "typed_config": config}
                    )
                }
            ],
        }
    )
    assert examined(dump) == []


def test_other_spellings_are_read_alike() -> None:
    tree = rendered("proc")
    assert examined(_camel(tree)) == []
    door(tree)["failure_mode_allow"] = True
    packed = entry(tree)["typed_config"]
    url = packed.pop("@type")
    entry(tree)["typed_config"] = {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": url,
        "value": packed,
    }
    assert codes(examined(tree)) == ["BPD003"]
    assert codes(examined(_camel(tree))) == ["BPD003"]


def _camel(value: Any) -> Any:
    """Return the same with field names as protobuf's JSON has them; names that people chose stay."""
    if isinstance(value, dict):
        return {_camel_key(key): _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


def _camel_key(key: str) -> str:
    first, *rest = key.split("_")
    return key if "." in key or "-" in key else first + "".join(word.capitalize() for word in rest)


def test_enums_by_number_and_scopes_are_read() -> None:
    tree = rendered("proc")
    door(tree)["processing_mode"] = {"request_header_mode": 2, "response_header_mode": 2}
    assert codes(examined(tree)) == ["BPD006"]
    dump = dump_of(rendered("proc"))
    listeners = part(dump, "ListenersConfigDump")["dynamic_listeners"][0]["active_state"]
    config = listeners["listener"]["filter_chains"][0]["filters"][0]["typed_config"]
    del config["rds"]
    config["scoped_routes"] = {"name": "scopes", "scoped_rds": {}}
    part(dump, "RoutesConfigDump")["dynamic_route_configs"][0]["route_config"]["request_headers_to_remove"] = []
    assert codes(examined(dump)) == ["BPD032"]


@pytest.mark.parametrize("base", ["proc", "authz-bodies", "matched"])
def test_no_shape_of_input_is_tripped_over(base: str) -> None:
    """Any value may be of any shape: the doctor says what it thinks of that, and goes on."""
    junk: list[Any] = [None, 7, -1.5, True, "x", "", [], [[]], {}, {"x": []}, [{}], [None, "x", {"name": 5}]]
    chosen = random.Random(base)
    for dumped in (False, True):
        whole = rendered(base)
        whole = dump_of(whole) if dumped else whole
        paths = [path for path in _paths(whole) if path]
        for path in chosen.sample(paths, 12):
            spoiled = copy.deepcopy(whole)
            at: Any = spoiled
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = chosen.choice(junk)
            if "configs" in spoiled and not isinstance(spoiled["configs"], list):
                continue
            try:
                examined(spoiled)
            except BorderpostError as error:
                assert error.code == "BP1503", path


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def test_numbers_durations_and_truths_are_read_as_protobuf_writes_them() -> None:
    message = Message.whole(
        load_json(b'{"a": "12", "b": 1.5, "c": "x", "d": "0.250s", "e": "2", "f": "true", "g": 1, "h": true}', "x")
    )
    assert [message.number(name) for name in "abch"] == [12.0, 1.5, None, None]
    assert [message.seconds(name) for name in "dea"] == [0.25, None, None]
    assert [message.flag(name) for name in "fghz"] == [True, False, True, False]


# Input that is none

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "BP1503"),
    "cut short": (json.dumps(dump_of(rendered("proc"))).encode()[:5000], "BP1502"),
    "deep": (b'{"configs":' + b"[" * 5000 + b"]" * 5000 + b"}", "BP1502"),
    "deep YAML": (b"static_resources: " + b"[" * 5000 + b"]" * 5000, "BP1502"),
    "not text": (b'{"configs": "\xff\xfe"}', "BP1502"),
    "binary": (bytes(range(256)), "BP1502"),
    "a list": (b"- 1\n- 2\n", "BP1503"),
    "other JSON": (b'{"kind": "Deployment"}', "BP1503"),
    "a dump of nothing": (b'{"configs": [{}]}', "BP1503"),
    "no list": (b'{"configs": {"a": 1}}', "BP1503"),
    "twice": (b'{"configs": [], "configs": []}', "BP1502"),
    "a page": (b"<html><body>404</body></html>", "BP1503"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_configuration_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    content, code = BAD[name]
    path = tmp_path / "dump.json"
    path.write_bytes(content)
    with pytest.raises(BorderpostError) as caught:
        read_configuration(read_file(path))
    assert caught.value.code == code
    assert caught.value.place.file == str(path)


def test_a_file_that_is_too_large_or_absent_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONFIG_DUMP_BYTES_MAX", 1000)
    path = tmp_path / "dump.json"
    path.write_bytes(b" " * 1001)
    with pytest.raises(BorderpostError, match="BP1501"):
        read_file(path)
    with pytest.raises(BorderpostError, match="BP0003"):
        read_file(tmp_path / "nowhere.json")


# Admin addresses


@contextmanager
def admin(reply: Callable[[http.server.BaseHTTPRequestHandler], None], path: Path | None = None) -> Iterator[str]:
    """Serve an admin interface; yield its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, *_: Any) -> None:
            pass

        def address_string(self) -> str:
            return "test"

    server: socketserver.BaseServer
    if path is not None:
        server = socketserver.UnixStreamServer(str(path), Handler)
        address = str(path)
    else:
        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _ok(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
    assert handler.path == "/config_dump?include_eds"
    handler.send_response(200)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_an_admin_address_is_asked(tmp_path: Path) -> None:
    tree = rendered("proc")
    door(tree)["failure_mode_allow"] = True
    body = json.dumps(dump_of(tree)).encode()
    for path in (None, tmp_path / "admin.sock"):
        with admin(lambda handler: _ok(handler, body), path) as address:
            (finding,) = examine(read_configuration(read_admin(address)))
            assert (finding.file, finding.line) == (None, None)
            assert "configs[2].dynamic_listeners[0]" in (finding.subject or "")
            if path is None:
                assert len(examine(read_configuration(read_admin(f"http://{address}/")))) == 1


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1:9901", "envoy.example:9901", "localhost", "http://localhost", "https://127.0.0.1:1", "127.0.0.1:x",
     "127.0.0.1:99999", "", "http://127.0.0.1:1/other", "relative/path", "[::1", "127.0.0.1.example.com:80",
     "http://evil@example.com:80"],
)  # fmt: skip
def test_only_this_machine_is_asked(address: str) -> None:
    with pytest.raises(BorderpostError, match="BP1504"):
        read_admin(address)


def test_an_answer_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with admin(lambda handler: handler.send_error(404)) as address, pytest.raises(BorderpostError, match="404"):
        read_admin(address)
    with pytest.raises(BorderpostError, match="BP1505"):
        read_admin(address)  # nobody listens there any more
    with pytest.raises(BorderpostError, match="BP1505"):
        read_admin(str(tmp_path / "nowhere.sock"))
    with admin(lambda handler: None) as address, pytest.raises(BorderpostError, match="BP1505"):
        read_admin(address)
    monkeypatch.setattr(limits, "CONFIG_DUMP_BYTES_MAX", 1000)
    with admin(lambda handler: _ok(handler, b" " * 5000)) as address, pytest.raises(BorderpostError, match="BP1501"):
        read_admin(address)
