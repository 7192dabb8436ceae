"""The admin server of the whole product with a token: what is shown without it, and that it is written nowhere."""

from __future__ import annotations

import http.client
import json
import secrets
from pathlib import Path

import pytest

from borderpost.cli.main import main
from support.clients import GERMAN
from support.faults import small_gate
from support.gateway import Gateway, eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.full]


def ask(gate: Gateway, path: str, token: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", gate.config["admin"]["port"], timeout=5)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token is not None else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_token_opens_and_is_changed_as_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, wrong = (secrets.token_hex(16) for _ in range(3))
    file = tmp_path / "admin.token"
    file.write_text(f"{first}\n")
    own = tmp_path / "own"
    own.mkdir()
    with small_gate(own, admin={"token_file": str(file)}, logs={"level": "debug"}) as gate:
        assert gate.send(GERMAN).status == 200
        for shown in (None, wrong, first[:-1], f"{first} "[:0]):
            assert ask(gate, "/metrics", shown)[0] == 401
            assert ask(gate, "/readyz?verbose", shown) == (200, "ok\n")
            assert ask(gate, "/livez", shown) == (200, "ok\n")
        eventually(lambda: "borderpost_decisions_total" in ask(gate, "/metrics", first)[1], "metrics are shown")
        assert json.loads(ask(gate, "/readyz?verbose", first)[1])["ready"] is True
        assert main(["ready", "--json", "--config", str(gate.config_file)]) == 0
        assert json.loads(capsys.readouterr().out)["checks"]
        file.write_text(second)
        assert (ask(gate, "/metrics", first)[0], ask(gate, "/metrics", second)[0]) == (401, 200)
        file.unlink()
        assert ask(gate, "/metrics", second)[0] == 401
        gate.unspeakable |= {first, second, wrong}  # no file of the run holds one
