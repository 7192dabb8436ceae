"""The admin server's token: what is shown without it, and that it leaves no trace."""

from __future__ import annotations

import http.server
import json
import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.admin.app import make_app
from borderpost.admin.feeds import feeds_route
from borderpost.admin.token import AdminDoor
from borderpost.cli.main import main
from borderpost.config.sections import AdminSpec
from borderpost.health import Check, Outcome
from borderpost_base.errors import BorderpostError
from borderpost_base.names import FEED_SIGNATURE_HEADER
from support.asgi import asked, no_metrics
from support.borderpost_process import merged, small_config, write_config

TOKEN = "f3a91c0d5b7e48a2"
CHECKS = [Check.that("worker-0", True, "serving"), Check("geoip/current", Outcome.WARNING, "secret detail")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def ask(spec: AdminSpec, url: str, authorization: str | None = None, checks: list[Check] = CHECKS) -> tuple[int, bytes]:
    app = make_app(checks=lambda: checks, metrics=no_metrics, open_to=AdminDoor(spec).open_to)
    return asked(app, url, headers={"authorization": authorization} if authorization is not None else {})


def test_loopback_without_a_token_is_open() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert ask(AdminSpec(host=host), "/metrics") == (200, b"metrics")
        assert b"secret detail" in ask(AdminSpec(host=host), "/readyz")[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1"])
def test_the_token_opens_what_probers_do_not_need(file: Path, host: str) -> None:
    spec = AdminSpec(host=host, token_file=file)
    for shown in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        assert ask(spec, "/metrics", shown) == (200, b"metrics")
        assert b"secret detail" in ask(spec, "/readyz?verbose", shown)[1]
    for shown in (
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer ÿ",
    ):
        assert ask(spec, "/metrics", shown)[0] == 401
        assert ask(spec, "/livez", shown) == (200, b"ok\n")
        for url in ("/readyz", "/readyz?verbose"):
            assert ask(spec, url, shown) == (200, b"ok\n")
    down = [Check.that("worker-0", False, "secret detail")]
    assert ask(spec, "/readyz", None, down) == (503, b"not ready\n")


def test_beyond_loopback_without_a_token_only_health_is_served() -> None:
    with capture_logs() as logs:
        spec = AdminSpec(host="0.0.0.0")
        assert ask(spec, "/metrics", f"Bearer {TOKEN}")[0] == 401
        assert ask(spec, "/readyz") == (200, b"ok\n")
    assert {line["log_level"] for line in logs} == {"warning"}
    assert "token_file" in logs[0]["mend"]


def test_a_token_that_is_changed_counts_at_once_and_one_that_is_gone_opens_nothing(file: Path) -> None:
    door = AdminDoor(AdminSpec(token_file=file))
    app = make_app(checks=lambda: CHECKS, metrics=no_metrics, open_to=door.open_to)

    def status(token: str) -> int:
        return asked(app, "/metrics", headers={"authorization": f"Bearer {token}"})[0]

    assert status(TOKEN) == 200
    other = TOKEN[::-1]
    file.write_text(other)
    assert (status(TOKEN), status(other)) == (401, 200)
    with capture_logs() as logs:
        for broken in ("short", "", "a b" * 20, "x" * 5000):
            file.write_text(broken)
            assert (status(other), status(broken.strip() or "x")) == (401, 401)
        file.unlink()
        assert status(other) == 401
    assert {line["code"] for line in logs} == {"BP0506"}
    assert len(logs) == 4  # once for each trouble that is not the one before
    told = json.dumps(logs)
    assert not any(word in told for word in (TOKEN, other, 'short"'))


def test_webhooks_bring_proof_of_their_own(file: Path) -> None:
    """Their senders have no business with the rest, so they are not given the token."""

    async def deliver(name: str, raw: bytes, signature: str) -> list[str]:
        if signature != "theirs":
            raise BorderpostError("BP1032", "not the sender's")
        return [name, raw.decode()]

    door = AdminDoor(AdminSpec(host="10.0.0.1", token_file=file))
    app = make_app(
        checks=lambda: CHECKS, metrics=no_metrics, routes=[feeds_route(deliver)], open_to=door.open_to
    )  # fmt: skip
    for shown, status in (({FEED_SIGNATURE_HEADER: "theirs"}, 200), ({"authorization": f"Bearer {TOKEN}"}, 403)):
        assert asked(app, "/feeds/desk", method="POST", body=[b"event"], headers=shown)[0] == status


def test_ready_shows_the_token_of_the_configuration(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str | None] = []

    class Admin(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Admin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        admin = {"admin": {"port": server.server_port, "token_file": os.fspath(file)}}
        config = write_config(tmp_path, merged(small_config({"eu-1": ("DE", 1)}), admin))
        assert main(["ready", "--config", str(config)]) == 0
        server.shutdown()
    assert seen == [f"Bearer {TOKEN}"]
    assert TOKEN not in "".join(capsys.readouterr())
