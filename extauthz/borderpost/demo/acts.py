"""The acts on the stage while it runs: who goes where, a region that dies, the law that changes, spoofs, silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from borderpost.demo.http_client import Header
from borderpost.demo.stage import Asked, Stage
from borderpost.demo.telling import Story
from borderpost.demo.travellers import BR, DE, EU, SG, TRAVELLERS, US, Traveller

_SETTLE_S = 15.0
"""Longest wait for something that takes about a second."""
_ROW = 10
"""Answers in a row that show the same to be known to every worker: each takes a snapshot for itself."""
_EVENT_IN_S = 8.0
"""Long enough to be signed and appended first, also on a busy machine."""
_EVENT_LASTS_S = 2.0
_PENDING_S = 1.0
"""How long it is watched that an event which lacks a signature changes nothing."""


def travellers(stage: Stage, story: Story) -> None:
    """Send the table's requests; each must go exactly where the law of the starter packs says."""
    story.act("Who may go where, and who goes where")
    asked = [stage.ask(each.address, _headers(stage, each)) for each in TRAVELLERS]
    times = _decision_times(stage, [one for one in asked if one.decision])
    rows = []
    for each, one in zip(TRAVELLERS, asked, strict=True):
        record = stage.record(one) if one.decision else {}
        legal = tuple(sorted(row["r"] for row in record.get("cand", ()) if row["ok"] or row.get("why") == "down"))
        reason = str(record.get("out", {}).get("reason", ""))
        took_us = times.get(one.decision or "")
        rows.append(
            (
                each.country,
                each.claims,
                ",".join(record.get("class", ())) or "-",
                ", ".join(legal) or "none",
                one.region or (f"refused: {reason}" if reason else "refused"),
                str(one.status),
                f"{took_us / 1000:.2f} ms" if took_us is not None else "-",
            )
        )
        wanted = (each.status, each.region, each.legal, each.reason)
        seen = (one.status, one.region, legal, reason.partition(":")[0])
        story.claim(
            f"{each.country} with {each.claims}, {each.data_class or 'default'}", wanted == seen, seen, quiet=True
        )
    story.table(("client", "claims", "data class", "legal set", "served by", "status", "decision"), rows)
    refused = [one for one in asked if one.status == 451]
    story.claim(
        "every 451 names who blocks (RFC 7725)",
        all('rel="blocked-by"' in (x.reply.header("link") or "") for x in refused),
    )
    story.claim(
        f"{len(TRAVELLERS)} requests, each decided as the law says, latency second",
        not story.untrue,
        f"{len(story.untrue)} otherwise",
    )


def failover(stage: Stage, story: Story) -> None:
    """Kill regions: traffic moves inside the legal set, and where that is empty it stops."""
    story.act("A region dies")
    before = stage.ask(DE)
    story.claim("a German client is served in eu-central-1", before.region == "eu-central-1", _seen([before]))
    outside = _outside(stage)
    stage.regions.kill("eu-central-1")
    started = time.monotonic()
    answers = stage.ask_until(DE, lambda one: one.status == 200, within_s=_SETTLE_S)
    took_s = time.monotonic() - started
    story.claim(
        f"eu-central-1 killed: {took_s:.1f} s later eu-west-1 serves", answers[-1].region == "eu-west-1", _seen(answers)
    )
    stage.regions.kill("eu-west-1")
    answers += stage.ask_until(DE, _refused_by_us, within_s=_SETTLE_S)
    last = answers[-1]
    story.claim(
        "eu-west-1 killed too: refused with 503 and Retry-After, no legal region can serve",
        _refused_by_us(last) and last.reply.header("retry-after") is not None,
        _seen(answers),
    )
    story.claim(
        "meanwhile not one request left the law for a healthy region", _outside(stage) == outside, _outside(stage)
    )
    american = stage.ask(US)
    story.claim("while us-east-1 was up and served others", american.region == "us-east-1", _seen([american]))
    stage.regions.revive("eu-central-1")
    stage.regions.revive("eu-west-1")
    answers = stage.ask_until(DE, _in_a_row("eu-central-1", _ROW), within_s=_SETTLE_S)
    served = {one.region for one in answers[-_ROW:]}
    story.claim("both back: eu-central-1 serves again", served == {"eu-central-1"}, _seen(answers))


def suspension(stage: Stage, story: Story) -> None:
    """Suspend a region by a signed event: it holds from its instant to its end, without a reload."""
    story.act("A legal event suspends a region")
    begins = datetime.now(UTC) + timedelta(seconds=_EVENT_IN_S)
    ends = begins + timedelta(seconds=_EVENT_LASTS_S)
    stage.declare(
        {
            "id": "demo-2026-1",
            "type": "region_suspend",
            "scope": {"regions": ["eu-central-1"]},
            "effective_from": _stamp(begins),
            "effective_until": _stamp(ends),
            "source": "Demo authority, order 1",
            "reason": "Shown here; no such order exists",
        },
        signer="legal",
    )
    answers = stage.ask_until(DE, lambda _one: datetime.now(UTC) > ends + timedelta(seconds=0.3), within_s=_SETTLE_S)
    records = [stage.record(one) for one in answers if one.decision]
    told = [(datetime.fromisoformat(one["ts"]), one["out"].get("r") or one["out"]["reason"]) for one in records]
    phases = {
        "before it: eu-central-1": ([r for at, r in told if at < begins], "eu-central-1"),
        "from its instant on: eu-west-1, the next legal one": (
            [r for at, r in told if begins <= at < ends],
            "eu-west-1",
        ),
        "from its end on: eu-central-1 again": ([r for at, r in told if at >= ends], "eu-central-1"),
    }
    story.say(f"  suspended from {_stamp(begins)} to {_stamp(ends)}; nothing was reloaded")
    for text, (regions, wanted) in phases.items():
        story.claim(f"{text} ({len(regions)} decisions)", bool(regions) and set(regions) == {wanted}, regions)
    story.claim("no request failed on the way", all(one.status == 200 for one in answers), _seen(answers))


def basis_falls(stage: Stage, story: Story) -> None:
    """Take a legal basis away on one signature; it takes two to give it back."""
    story.act("A legal basis falls, and comes back")
    both, home = ("ap-southeast-1", "us-east-1"), ("ap-southeast-1",)
    story.claim("a client in Singapore may be served there and, by CBPR, in us-east-1", _legal(stage, SG) == both)
    now = datetime.now(UTC)
    stage.declare(
        {
            "id": "demo-2026-2",
            "type": "adequacy_revoke",
            "scope": {"regimes": ["sg-pdpa"], "bases": ["sg-cbpr"]},
            "effective_from": _stamp(now),
            "source": "Demo court, judgment 2",
            "reason": "Shown here; no such judgment exists",
        },
        signer="legal",
    )
    fell = stage.ask_until(SG, _legal_in_a_row(stage, home, _ROW), within_s=_SETTLE_S)
    story.claim("revoked by one signature: in Singapore alone from then on", _legal(stage, SG) == home, _seen(fell))
    story.claim("and the record names the event", stage.record(fell[-1]).get("events") == ["demo-2026-2"])
    stage.declare(
        {
            "id": "demo-2026-3",
            "type": "lift",
            "ends": "demo-2026-2",
            "effective_from": _stamp(now),
            "source": "Demo court of appeal, judgment 3",
            "reason": "Shown here; no such judgment exists",
        },
        signer="legal",
    )
    waiting = stage.ask_until(SG, _legal_in_a_row(stage, both, 1), within_s=_PENDING_S)
    alone = {_legal_of(stage, one) for one in waiting} == {home}
    story.claim("the judgment is lifted by one signature: nothing widens", alone, _seen(waiting))
    stage.approve("demo-2026-3", signer="security")
    back = stage.ask_until(SG, _legal_in_a_row(stage, both, _ROW), within_s=_SETTLE_S)
    story.claim("with a second person's: us-east-1 is legal again", _legal(stage, SG) == both, _seen(back))


def _legal(stage: Stage, address: str) -> tuple[str, ...]:
    return _legal_of(stage, stage.ask(address))


def _legal_of(stage: Stage, asked: Asked) -> tuple[str, ...]:
    """Return the regions that a request's record calls legal, sorted."""
    return tuple(sorted(row["r"] for row in stage.record(asked)["cand"] if row["ok"] or row.get("why") == "down"))


def _legal_in_a_row(stage: Stage, regions: tuple[str, ...], count: int) -> Callable[[Asked], bool]:
    """Return what says whether so many answers in a row had these legal regions."""
    run = 0

    def enough(one: Asked) -> bool:
        nonlocal run
        run = run + 1 if _legal_of(stage, one) == regions else 0
        return run >= count

    return enough


@dataclass(frozen=True, slots=True)
class _Spoof:
    """One attempt, with the only outcome that is not a leak."""

    text: str
    address: str
    headers: tuple[Header, ...]
    status: int = 200


def spoofs(stage: Stage, story: Story) -> None:
    """Try to get a German client's request out of the Union by lying; every lie must fail."""
    story.act("Spoofs")
    elsewhere = stage.cluster_of("us-east-1")
    forged = type(stage.issuer)(stage.issuer.issuer).token(residency="US")
    attempts = (
        _Spoof(
            "a decision of its own, twice, oddly spelled",
            DE,
            (
                ("X-Borderpost-Cluster", elsewhere),
                ("x-borderpost-cluster", elsewhere),
                ("x_borderpost_cluster", elsewhere),
            ),
        ),
        _Spoof("an American address in front of x-forwarded-for", f"{US}, {DE}", ()),
        _Spoof("a forged x-borderpost-client and x-real-ip", DE, (("x-borderpost-client", US), ("x-real-ip", US))),
        _Spoof("the assertion to live in the United States", DE, (("x-data-residency", "US"),)),
        _Spoof("personal data declared public", DE, (("x-data-class", "public"),)),
        _Spoof("the name of a tenant who may declare", DE, (("x-tenant", "press"), ("x-data-class", "public"))),
        _Spoof("a token that somebody else signed", DE, (("authorization", f"Bearer {forged}"),), 401),
        _Spoof("a certificate in a header", DE, (("x-forwarded-client-cert", "URI=spiffe://example/residency/US"),)),
        _Spoof("an address that is none", "not-an-address", (), 403),
    )
    outside = _outside(stage)
    for attempt in attempts:
        one = stage.ask(attempt.address, attempt.headers)
        kept = one.region in EU if attempt.status == 200 else one.region is None
        outcome = one.region or "refused"
        story.claim(f"{attempt.text}: {one.status}, {outcome}", one.status == attempt.status and kept, _seen([one]))
    story.claim("no region outside the Union saw any of them", _outside(stage) == outside, _outside(stage))


def silence(stage: Stage, story: Story) -> None:
    """Stop Borderpost: Envoy lets nothing through by itself."""
    story.act("Borderpost is stopped")
    served = stage.regions.counts
    code = stage.service.stop()
    story.claim("it drains and ends by itself", code == 0, code)
    answers = [stage.ask(address) for address in (DE, US, BR)]
    story.claim("every request is refused with 503", all(one.status == 503 for one in answers), _seen(answers))
    story.claim("and no region sees any of them", stage.regions.counts == served, stage.regions.counts)
    del stage.asked[-len(answers) :]  # the record cannot hold them


def _headers(stage: Stage, each: Traveller) -> list[Header]:
    headers: list[Header] = []
    if each.token:
        headers.append(("authorization", f"Bearer {stage.issuer.token(**each.token)}"))
    if each.residency is not None:
        headers.append(("x-data-residency", each.residency))
    if each.data_class is not None:
        headers.append(("x-data-class", each.data_class))
    return headers


def _decision_times(stage: Stage, asked: Iterable[Asked]) -> dict[str, int]:
    """Return the decision times, once Envoy has written the lines of all these requests or a second has gone."""
    wanted = {one.decision for one in asked}
    deadline = time.monotonic() + 1.0
    while not wanted <= (times := stage.decision_times_us()).keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    return times


def _refused_by_us(one: Asked) -> bool:
    return one.status == 503 and one.reply.header("content-type") == "application/problem+json"


def _outside(stage: Stage) -> dict[str, int]:
    """Return how many requests each region outside the Union has served."""
    return {region: count for region, count in stage.regions.counts.items() if region not in EU}


def _in_a_row(region: str, count: int) -> Callable[[Asked], bool]:
    """Return what says, asked of each answer in turn, whether a region has given so many in a row."""
    run = 0

    def enough(one: Asked) -> bool:
        nonlocal run
        run = run + 1 if one.region == region else 0
        return run >= count

    return enough


def _seen(answers: list[Asked]) -> str:
    return ", ".join(f"{one.status} {one.region or '-'}" for one in answers[-20:])


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
