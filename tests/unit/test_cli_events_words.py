"""Events and triggers in words: what a person reads before signing."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.cli.events import words
from borderpost.events.triggers import Trigger
from borderpost.policy.event_schema import LegalEvent

_BASE: dict[str, Any] = {
    "id": "e",
    "effective_from": "2026-01-01",
    "recorded_at": "2026-01-01",
    "source": "s",
    "reason": "r",
}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"type": "injunction", "scope": {"countries": "*", "operators": ["A"]}},
         "requests may not go to regions run by A that are also regions that may be in every place."),
        ({"type": "injunction", "scope": {"tenants": ["t"], "models": ["m"]}},
         "requests to the models m and of the tenants t may not go to any region."),
        ({"type": "regulator_order", "scope": {"data": ["health"], "regimes": ["eu-gdpr"]}},
         "requests with data of the classes health and under eu-gdpr may not go to any region."),
        ({"type": "adequacy_revoke", "scope": {"bases": ["art45-dpf"], "regimes": ["eu-gdpr"]}},
         "the basis art45-dpf of eu-gdpr no longer allows requests to go to any region."),
        ({"type": "injunction", "scope": {"bases": ["b"], "regions": ["x"], "subjects": "DE"}},
         "the basis b of every regime no longer allows requests about people of DE to go to x."),
        ({"type": "region_suspend", "scope": {"regions": ["x"]}}, "requests may not go to x."),
        ({"type": "region_restore", "scope": {"regions": ["x", "y"]}},
         "x, y may be used again: earlier suspensions end."),
        ({"type": "adequacy_grant", "scope": {"regimes": ["r"], "countries": ["BR"]}, "basis": "b"},
         "data under r may go to BR, on the basis `b`."),
        ({"type": "sanctions_add", "scope": {"subjects": ["SY"]}},
         "requests of people of SY, and regions there, are under embargo."),
        ({"type": "sanctions_lift", "scope": {"subjects": ["SY"], "regimes": ["ofac"]}},
         "the embargo of ofac on SY ends."),
    ],
)  # fmt: skip
def test_each_type_is_told_in_words(fields: dict[str, Any], sentence: str) -> None:
    event = LegalEvent.model_validate({**_BASE, **fields})
    told = words.sentences_of_event(event)
    assert told[0] == f"e: {sentence}"
    assert told[2].startswith("It widens" if event.widens else "It narrows")


def test_a_trigger_s_value_is_told_as_it_must_be_said() -> None:
    for value, text in (("red", "says 'red'"), (True, "says true"), (3, "says 3")):
        template = {
            "type": "region_suspend",
            "scope": {"regions": ["x"]},
            "source": "s",
            "reason": "r",
            "mode": "drill",
        }
        trigger = Trigger.model_validate(
            {"id": "t", "when": {"feed": "f", "equals": value}, "event": template, "valid_until": "2027-01-01"}
        )
        told = " ".join(words.sentences_of_trigger(trigger))
        assert f"when the feed `f` {text}, then at once, until a `lift` ends it:" in told
        assert "It is a drill" in told
