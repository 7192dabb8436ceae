"""The stage: regions, Borderpost and Envoy running together, set up the way an operator would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from borderpost.audit.reader import find, read_log
from borderpost.demo.children import free_port
from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.http_client import Header, Reply, send
from borderpost.demo.region_servers import RegionServers
from borderpost.demo.scenery import AUDIT, ISSUER, REGIONS, SIGNERS, sign_events_instead, write_configuration
from borderpost.demo.service_process import BorderpostProcess
from borderpost.demo.setting_up import SetUp
from borderpost.demo.tokens import TokenIssuer
from borderpost_base.errors import BorderpostError
from borderpost_base.names import DECISION_HEADER

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what became of it."""

    reply: Reply
    region: str | None
    """The region that names itself in the body, None if none served."""
    decision: str | None
    """The decision's id, from the header of a routed response or the body of a refusal."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.reply.status


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a run of the command line ended."""

    exit_code: int
    document: dict[str, Any]
    """Its JSON result."""


class Stage(SetUp):
    """Everything that runs, used as a context. It owns a temporary directory."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        """Every request that was sent through Envoy, in order."""

    def _set_up(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="borderpost-demo-"))
        self._undo.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.regions = self._undo.enter_context(RegionServers(REGIONS))
        self.issuer = TokenIssuer(ISSUER)
        jwks = self.directory / "jwks.json"
        jwks.write_text(self.issuer.jwks())
        admin_port = free_port()
        self.config = write_configuration(
            self.directory, self.regions.ports, admin_port=admin_port, more=self._sections()
        )
        sign_events_instead(self.config)
        for name in SIGNERS:
            self._events_command("keygen", name, "--directory", str(self.directory))
        self.service = self._undo.enter_context(BorderpostProcess(self.config, admin_port=admin_port))
        self.access_log = self.directory / "access.log"
        self.envoy = self._undo.enter_context(self._gateway(jwks))

    def cluster_of(self, region: str) -> str:
        """Return Envoy's name of a region's cluster."""
        return region

    def _sections(self) -> Mapping[str, Any]:
        """Return what this stage's configuration has besides what every stage's has."""
        return {}

    def _gateway(self, jwks: Path) -> EnvoyProcess:
        """Start what clients connect to."""
        return EnvoyProcess(self._bootstrap(jwks), self.directory)

    def _bootstrap(self, jwks: Path) -> dict[str, Any]:
        """Render Envoy's bootstrap by the command that operators use."""
        upstreams = [f"{region}=127.0.0.1:{port}" for region, port in self.regions.ports.items()]
        rendered = command(
            *("render", "envoy", "--json", "--config", str(self.config)),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--trusted-hops", "1"),
            *("--jwt", "stage", ISSUER, str(jwks), "--access-log", str(self.access_log)),
            *(word for upstream in upstreams for word in ("--upstream", upstream)),
        )
        if rendered.exit_code != 0:
            raise BorderpostError("BP0911", f"rendering Envoy's configuration failed: {rendered.document}")
        return rendered.document

    @property
    def audit(self) -> Path:
        """The audit log's directory."""
        return self.directory / AUDIT

    def ask(self, address: str | None, headers: Iterable[Header] = ()) -> Asked:
        """Send one chat completion by way of a trusted hop that says the client has this address."""
        hop: list[Header] = [] if address is None else [("x-forwarded-for", address)]
        reply = send(self.envoy.port, headers=[*hop, *headers])
        body = _json_object(reply.body)
        region = body.get("system_fingerprint")
        asked = Asked(reply, region, reply.header(DECISION_HEADER) or body.get("decision"))
        self.asked.append(asked)
        return asked

    def ask_until(
        self, address: str, accept: Callable[[Asked], bool], *, within_s: float, headers: Iterable[Header] = ()
    ) -> list[Asked]:
        """Ask again and again until an answer is accepted or time is up; return all answers."""
        sent = list(headers)
        deadline = time.monotonic() + within_s
        answers = [self.ask(address, sent)]
        while not accept(answers[-1]) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            answers.append(self.ask(address, sent))
        return answers

    def record(self, asked: Asked) -> dict[str, Any]:
        """Return the audit record of a request's decision. Raises BorderpostError BP0409 if there is none."""
        return find(self.audit, asked.decision or "").record

    def decisions(self) -> list[dict[str, Any]]:
        """Return every decision record of the log."""
        return [located.record for located in read_log(self.audit) if located.record.get("type") == "decision"]

    def decision_times_us(self) -> dict[str, int]:
        """Return how long each decision took as Envoy saw it, by decision id, from the access log."""
        times = {}
        for line in self.access_log.read_text().splitlines():
            entry = json.loads(line)
            if entry["decision"] is not None and entry["decision_us"] is not None:
                times[entry["decision"]] = int(entry["decision_us"])
        return times

    def declare(self, event: Mapping[str, Any], signer: str) -> None:
        """Have one person sign a legal event, and append it to the list, by the commands that people use."""
        described = self.directory / f"{event['id']}.yaml"
        described.write_text(yaml.safe_dump(dict(event), sort_keys=False))
        signed = described.with_suffix(".signed.json")
        self._events_command(
            *("sign", str(described), *self._as(signer), "--output", str(signed), "--config", str(self.config))
        )
        self._events_command("apply", str(signed), "--config", str(self.config))

    def approve(self, event_id: str, signer: str) -> None:
        """Have another person sign a legal event of the list."""
        self._events_command("approve", event_id, *self._as(signer), "--config", str(self.config))

    def _as(self, signer: str) -> tuple[str, ...]:
        return ("--key", str(self.directory / f"{signer}.key.pem"), "--as", signer)

    def _events_command(self, *words: str) -> None:
        done = command("events", *words, "--json")
        if done.exit_code != 0:
            raise BorderpostError("BP0911", f"`borderpost events {words[0]}` failed: {done.document}")


def command(*words: str) -> CommandResult:
    """Run a command of `borderpost` with a JSON result, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "borderpost.cli", *words], capture_output=True, timeout=60, check=False
    )
    return CommandResult(done.returncode, _json_object(done.stdout) or {"stderr": done.stderr.decode(errors="replace")})


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
