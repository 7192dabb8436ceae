"""A made-up request, decided by the code that decides live ones: the same extractor, law, ranking and answers."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Mapping
from typing import cast

from borderpost.catalog import Catalog
from borderpost.cli.body_words import body_notes, read_body_file
from borderpost.cli.explanation import Explanation
from borderpost.cli.observed_words import MADE_UP
from borderpost.cli.options import pairs
from borderpost.config.load import Loaded
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost.facts.request import ISSUER_CLAIM, MALFORMED_CLAIM
from borderpost.geoip import Anonymisers, GeoAnswer, GeoDatabase
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.codes import split_code
from borderpost.policy.fields import parse_instant, to_us
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost.shadow import Shadow, has_drills
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

_SEED = "0" * 16
"""Ties of made-up requests always fall the same way; live ones are dealt by each snapshot's own seed."""


class _StatedPlace:
    """Stands in for the GeoIP database: every address is where `--country` says."""

    digest = f"sha256:{hashlib.sha256(b'no database: the place was stated').hexdigest()}"

    def __init__(self, answer: GeoAnswer) -> None:
        self._answer = answer

    def lookup(self, _address: str | bytes) -> GeoAnswer:
        """Return the stated place."""
        return self._answer


def explain_made_up(loaded: Loaded, arguments: argparse.Namespace) -> Explanation:
    """Decide a request that the arguments make up. Raises BorderpostError BP0004 or BP0207 for a wrong argument."""
    at_us = to_us(parse_instant(arguments.at)) if arguments.at is not None else World().now_us()
    signals = _signals(loaded, arguments, at_us)
    stated = arguments.country is not None
    anonymisers = Anonymisers() if stated else Anonymisers.open(loaded.config.geoip.anonymisers)
    view = view_of(loaded, _geo(loaded, arguments.country), signals, anonymisers).turned(stale=arguments.stale)
    body = read_body_file(loaded, arguments)
    raw = _request(loaded, arguments, view.extractor.headers)
    decision = view.answer(raw._replace(body=body.stated) if body is not None else raw, at_us)
    return Explanation(
        at_us=at_us,
        facts=decision.facts,
        law=decision.law,
        ranking=decision.ranking,
        answer=decision.answer,
        compiled=view.compiled,
        events=loaded.events,
        signals=signals,
        inputs={part: digest for part, digest in view.inputs.items() if part != "geoip" or arguments.country is None},
        opinion=decision.opinion,
        notes=(
            *((MADE_UP,) if arguments.route in loaded.config.observe.routes else ()),
            *body_notes(body.field if body is not None else None),
            *_notes(arguments),
        ),
    )


def view_of(loaded: Loaded, geo: GeoDatabase, signals: Signals, anonymisers: Anonymisers | None = None) -> View:
    """Return everything that decides, compiled from a configuration as a worker compiles it from a snapshot."""
    catalog = Catalog.of(loaded.regions, loaded.config.ranking, loaded.config.failover)
    parts = {
        "policy": loaded.bundle.digest,
        "events": loaded.events.digest,
        "catalog": catalog.digest,
        "signals": signals.digest,
        "geoip": geo.digest,
    }
    law = CompiledLaw.of(loaded.bundle, catalog)
    shadow = None
    if loaded.shadow is not None:
        shadow = Shadow.of(CompiledLaw.of(loaded.shadow, catalog), loaded.events, loaded.shadow.digest)
    elif has_drills(loaded.events):
        shadow = Shadow.of(law, loaded.events, loaded.bundle.digest)
    return View.of(law, loaded.events, signals, geo, parts, anonymisers=anonymisers, shadow=shadow)


def _geo(loaded: Loaded, stated: str | None) -> GeoDatabase:
    if stated is None:
        return GeoDatabase.of(loaded.config.geoip)
    country, suffix = split_code(stated)
    answer = GeoAnswer(country, stated if suffix is not None else None)
    return cast("GeoDatabase", _StatedPlace(answer))


def _request(loaded: Loaded, arguments: argparse.Namespace, read: Iterable[str]) -> RawRequest:
    """Return the request as Envoy would hand it over: only headers that are read, claims by their configured names."""
    evidence = loaded.config.evidence
    wanted = set(read)
    given = [(name.lower(), value) for name, value in pairs("--header", arguments.header)]
    for name, value in (
        (evidence.headers.tenant, arguments.tenant),
        (evidence.headers.data_class, arguments.data_class),
        (evidence.headers.model, arguments.model),
        (evidence.headers.purpose, arguments.purpose),
    ):
        if value is not None:
            given.append((name, value))
    claims = dict(pairs("--claim", arguments.claim))
    token = evidence.token
    if token is None and claims:
        raise BorderpostError("BP0004", "`evidence.token` is null, so no claim is read", place=Place("--claim"))
    known = {token.residency_claim, token.tenant_claim} if token is not None else set()
    if token is not None and token.issuers:
        known.add(ISSUER_CLAIM)
    unread = sorted(set(claims) - known)
    if unread:
        mend = f"claims that are read: {', '.join(sorted(known))}"
        raise BorderpostError("BP0004", f"the claim `{unread[0]}` is not read", place=Place("--claim"), mend=mend)
    return RawRequest(
        address=arguments.address or "",
        headers=tuple((name, value.encode()) for name, value in given if name in wanted),
        residency_claim=claims.get(token.residency_claim) if token is not None else None,
        tenant_claim=claims.get(token.tenant_claim) if token is not None else None,
        issuer=claims.get(ISSUER_CLAIM, MALFORMED_CLAIM) if claims and ISSUER_CLAIM in known else None,
        sans=tuple(arguments.san),
        route=arguments.route,
    )


def _signals(loaded: Loaded, arguments: argparse.Namespace, at_us: int) -> Signals:
    """Return what the probes would say: up, but for `--down`; no latency, but for `--latency`."""
    latencies = dict(pairs("--latency", arguments.latency))
    need_regions(loaded.regions, "--down", arguments.down)
    need_regions(loaded.regions, "--latency", latencies)
    signals = {}
    for region in {*arguments.down, *latencies}:
        state = State.DOWN if region in arguments.down else State.UP
        signals[region] = RegionSignal(state, milliseconds_us(latencies[region]) if region in latencies else None)
    return Signals(signals, _SEED, at_us)


def milliseconds_us(text: str) -> int:
    """Return microseconds of what `--latency` gave in milliseconds. Raises BorderpostError BP0004."""
    try:
        latency_us = round(float(text) * 1000)
    except (ValueError, OverflowError) as error:
        raise BorderpostError("BP0004", f"`{text}` is no number of milliseconds", place=Place("--latency")) from error
    if latency_us < 0:
        raise BorderpostError("BP0004", f"`{text}` is below 0", place=Place("--latency"))
    return latency_us


def need_regions(known: Mapping[str, object], option: str, named: Iterable[str]) -> None:
    """Raise BorderpostError BP0211 for a region that is not known."""
    for region in named:
        if region not in known:
            mend = f"configured: {', '.join(sorted(known))}"
            raise BorderpostError("BP0211", f"no region `{region}`", place=Place(option), mend=mend)


def _notes(arguments: argparse.Namespace) -> Iterable[str]:
    """Yield what a reader of a made-up explanation should know."""
    if arguments.address is None and arguments.country is None:
        yield "neither --address nor --country was given, so GeoIP knows nothing of the client"
    if not arguments.down and not arguments.latency:
        yield "no probe was asked: every region is taken to be able to serve"
