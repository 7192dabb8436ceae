"""Rules of legal events that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

from support.legal_events import START, event
from support.policy_builder import Court, regime

REGIONS: dict[str, Any] = {"ca": "CA", "eu": "DE", "us": "US"}
HOME = {"to": "DE", "basis": "home"}


def order(id_: str, region: str, **scope: Any) -> dict[str, Any]:
    return event("injunction", id_, scope={"regions": [region], **scope})


def test_what_one_order_is_about_limits_no_other() -> None:
    always, health = order("a", "us"), order("b", "ca", data=["health"])
    french, law = order("c", "eu", subjects=["FR"]), order("d", "ca", regimes=["law"])
    rule = regime("law", "IN", default="allow", basis="open")
    for events in ((always, health, french, law), (law, french, health, always)):
        court = Court(rule, regions=REGIONS, events=events)
        assert court.ask(geoip="DE", at=START).legal == ("ca", "eu")
        assert court.ask(geoip="DE", at=START, classes=("health",)).legal == ("eu",)
        assert court.ask(geoip="FR", at=START).legal == ("ca",)
        assert court.ask(geoip="IN", at=START).legal == ("eu",)
        assert court.ask(geoip="FR", at=START, classes=("health",)).legal == ()


def test_what_was_worked_out_of_events_once_is_kept() -> None:
    court = Court(regions=REGIONS, events=(order("a", "us"), order("b", "ca")))
    effects, _ = court.events.at(START)
    assert effects.orders(0b11) == (0b101, ((0b100, "event/a"), (0b001, "event/b")))
    assert effects.orders(0b11)[1] is effects.orders(0b11)[1]
    assert effects.took_part(0b11, 0) == ("a", "b")
    assert effects.took_part(0b11, 0) is effects.took_part(0b11, 0)


def test_of_several_sanctions_the_first_by_name_is_the_reason() -> None:
    events = [event("sanctions_add", id_, scope={"subjects": [place]}) for id_, place in (("z", "IR"), ("a", "SY"))]
    court = Court(regions=REGIONS, events=tuple(events))
    for said in ({"token": "IR", "geoip": "SY"}, {"token": "SY", "geoip": "IR"}):
        law = court.ask(at=START, **said)
        assert (law.reason, law.events, law.refused["eu"]) == ("embargo", ("a", "z"), "event/a")
    assert court.ask(at=START, geoip="IR").events == ("z",)
