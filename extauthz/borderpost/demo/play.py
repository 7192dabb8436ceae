"""The order of the acts, and the stage left open for the audience."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from borderpost.demo.acts import basis_falls, failover, silence, spoofs, suspension, travellers
from borderpost.demo.evidence import evidence
from borderpost.demo.istio.acts import delivery, interference
from borderpost.demo.istio.scenery import HOST
from borderpost.demo.istio.stage import MeshStage
from borderpost.demo.istio.tools import istio_tools
from borderpost.demo.stage import Stage
from borderpost.demo.telling import Story, Teller
from borderpost.demo.travellers import AE, DE, UNKNOWN, US

_Act = Callable[[Any, Story], None]
_ACTS: tuple[_Act, ...] = (travellers, failover, suspension, basis_falls, spoofs, silence, evidence)
_MESH_ACTS: tuple[_Act, ...] = (delivery, travellers, spoofs, interference, silence, evidence)


def play(teller: Teller, *, istio: bool) -> int:
    """Play all acts; return 0 if every claim came true, else 1."""
    story = Story(teller)
    stage = _stage(story.say, istio=istio)
    started = time.monotonic()
    front = "Istio's control plane, " if istio else ""
    story.say(f"Setting the stage: five regions, Borderpost, {front}Envoy 1.40 …")
    with stage:
        story.say(f"Ready after {time.monotonic() - started:.1f} s.")
        for act in _MESH_ACTS if istio else _ACTS:
            act(stage, story)
        return story.end(time.monotonic() - started)


def stay(teller: Teller, *, istio: bool) -> int:
    """Set the stage, print what to try, and leave it until Ctrl-C or SIGTERM; return 0."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job begins with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with _stage(teller.data, istio=istio) as stage:
        for line in _invitation(stage):
            teller.data(line)
        teller.stdout.flush()
        try:
            while stage.service.process.returncode is None and stage.envoy.process.returncode is None:
                time.sleep(0.2)
        except KeyboardInterrupt:
            teller.data("\nEnding.")
            return 0
        teller.data("Borderpost or Envoy has ended by itself.")
        return 1


def _stage(say: Callable[[str], None], *, istio: bool) -> Stage:
    """Return the stage, not yet set; building istiod is told by `say`. Raises BP1450, BP1451, BP1452."""
    return MeshStage(istio_tools(say)) if istio else Stage()


def _invitation(stage: Stage) -> list[str]:
    url = f"http://127.0.0.1:{stage.envoy.port}/v1/chat/completions"
    ask = f'curl -si {url} -d \'{{"model":"example-7b","messages":[]}}\''
    token = stage.issuer.token(residency="DE")
    files: list[str] = []
    if isinstance(stage, MeshStage):
        ask += f" -H 'host: {HOST}'"
        files = [f"# what istiod delivers: the files in {stage.istiod.live}; change one, or add your own, and see"]
    return [
        "The stage is set. The hop in front of Envoy is you: x-forwarded-for says who the client is.",
        "",
        "# from Germany, the United States, the Emirates, an unknown place",
        *(f"{ask} -H 'x-forwarded-for: {address}'" for address in (DE, US, AE, UNKNOWN)),
        "# from the United States, of a person who lives in Germany: verified, then only asserted",
        f"{ask} -H 'x-forwarded-for: {US}' -H 'authorization: Bearer {token}'",
        f"{ask} -H 'x-forwarded-for: {US}' -H 'x-data-residency: DE'",
        "# health data from the Emirates; a spoof from Germany",
        f"{ask} -H 'x-forwarded-for: {AE}' -H 'x-data-class: health'",
        f"{ask} -H 'x-forwarded-for: {DE}' -H 'x-borderpost-cluster: {stage.cluster_of('us-east-1')}'",
        "# why, with the id of an answer's x-borderpost-decision",
        f"borderpost explain --log {stage.audit} DECISION_ID",
        f"borderpost verify {stage.audit}",
        f"curl -s http://127.0.0.1:{stage.service.admin_port}/metrics",
        f"# legal events: `borderpost events --help`, with --config {stage.config} and the keys beside it",
        *files,
        "",
        "Ctrl-C ends it.",
    ]
