"""What the bench replays without Envoy is what the rendered Envoy sends: recorded here, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.scenery import REGIONS, configuration, write_events
from borderpost.demo.stage import command
from borderpost_base.names import CLIENT_HEADER
from borderpost_bench.load import question
from borderpost_bench.mix import requests_of_mix
from borderpost_bench.open_loop import request_bytes, run_open, trace_id
from borderpost_bench.traffic import MODEL, Request, requests_of
from borderpost_envoy import Via
from borderpost_proto import ext_authz_pb2, ext_proc_pb2
from borderpost_wire.options import ServerOptions, UnixListen
from support.golden_recorder import Recording
from support.wire_server import serving

pytestmark = pytest.mark.blackbox

VARIABLE = ("traceparent", "x-request-id")
NAMES_THE_FILTER = "envoy.filters.http.ext_proc"


def recorded(folder: Path, via: Via, requests: Sequence[Request]) -> list[bytes]:
    """Return what the rendered Envoy asks about each request, in order."""
    write_events(folder, [])
    config = folder / "borderpost.yaml"
    made = configuration(dict.fromkeys(REGIONS, 1), admin_port=1)
    config.write_text(yaml.safe_dump({**made, "server": {"directory": str(folder / "s"), "workers": 1}}))
    rendered = command(
        *("render", "envoy", "--json", "--config", str(config), "--via", via.value, "--listen", "127.0.0.1:0"),
        *("--admin", "127.0.0.1:0", "--trusted-hops", "1"),
        *(word for region in REGIONS for word in ("--upstream", f"{region}=127.0.0.1:1")),
    )
    assert rendered.exit_code == 0, rendered.document
    service = Recording()
    with (
        serving(ServerOptions(listen=(UnixListen(folder / "s" / "worker-0.sock"),)), service),
        EnvoyProcess(rendered.document, folder) as envoy,
    ):
        for number, request in enumerate(requests):
            (asked,) = requests_of_mix(1, 1, seed=1)
            framed = request_bytes(type(asked)(request, asked.facts), trace_id(1, number))
            run_open(envoy.port, [framed], [0.0], connections=1)
    return service.seen


def headers_of(message: Any) -> dict[str, bytes]:
    return {header.key: header.raw_value for header in message.headers}


@pytest.mark.parametrize("via", Via, ids=lambda via: via.value)
def test_questions_are_what_the_rendered_envoy_sends(tmp_path: Path, via: Via) -> None:
    requests = [Request(one.address, {**one.headers, "x-model": MODEL}) for one in requests_of("mixed", 17)]
    seen = recorded(tmp_path, via, requests)
    assert len(seen) == len(requests)
    for request, got in zip(requests, seen, strict=True):
        made = question(request, via)
        if via is Via.EXT_PROC:
            sent = ext_proc_pb2.ProcessingRequest.FromString(got)
            ours = ext_proc_pb2.ProcessingRequest.FromString(made)
            theirs, mine = headers_of(sent.request_headers.headers), headers_of(ours.request_headers.headers)
            fields = [
                {name: value.string_value for name, value in one.attributes[NAMES_THE_FILTER].fields.items()}
                for one in (sent, ours)
            ]
            assert fields[0] == fields[1]
            assert len(got) == len(made)
        else:
            theirs, mine = (
                headers_of(ext_authz_pb2.CheckRequest.FromString(one).attributes.request.http.header_map)
                for one in (got, made)
            )
            assert CLIENT_HEADER in theirs
        assert theirs.keys() == mine.keys()
        for name, value in theirs.items():
            if name in VARIABLE:
                assert len(value) == len(mine[name])
            else:
                assert value == mine[name]
