"""What wire/README.md shows is what is there: its examples run, its files exist. (Its tables: `tools/generate.py`.)"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events

from borderpost_wire.h2 import Connection
from support import h2spec_cases

WIRE = Path(__file__).resolve().parents[2] / "wire"
PAGE = (WIRE / "README.md").read_text(encoding="utf-8")
SERVER, CORE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_server_serves_and_stops(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    server = subprocess.Popen([sys.executable, str(tmp_path / "server.py"), str(path)])
    try:
        until = time.monotonic() + 30
        while not path.exists():
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        with grpc.insecure_channel(f"unix:{path}") as channel:
            assert channel.unary_unary("/example.Echo/Say")(b"a") == b"re:a"
            assert list(channel.stream_stream("/example.Echo/Talk")(iter([b"b", b"c"]))) == [b"re:b", b"re:c"]
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert not path.exists()
    finally:
        server.kill()
        server.wait()


def test_the_core_answers() -> None:
    names: dict[str, object] = {}
    exec(compile(CORE, "README.md", "exec"), names)
    received = names["received"]
    assert callable(received)
    connection = Connection()
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    fields = {":method": "GET", ":scheme": "http", ":path": "/why", ":authority": "a"}
    client.send_headers(1, [*fields.items()], end_stream=True)
    events = client.receive_data(received(connection, client.data_to_send(), 0.0))
    (body,) = (event.data for event in events if isinstance(event, h2.events.DataReceived))
    assert body == b"You asked for /why"


def test_every_file_has_its_line() -> None:
    table = PAGE[PAGE.index("## Where to read what") : PAGE.index("## The states of a stream")]
    named = set(re.findall(r"`((?:\w+/)?\w+\.py|\w+/)`", table))
    package = WIRE / "borderpost_wire"
    assert all((package / name).exists() for name in named)
    files = {str(path.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py"}
    untold = {name for name in files if name not in named and f"{name.partition('/')[0]}/" not in named}
    assert untold <= {
        "deadlines.py", "engine.py", "engines.py", "service_faults.py", "h2/errors.py", "h2/events.py", "h2/stream.py",
    }  # fmt: skip


def test_the_differences_from_h2spec_are_told() -> None:
    assert h2spec_cases.as_markdown() in PAGE
