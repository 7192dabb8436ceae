"""A short run of the fuzzer; `make fuzz` is the long one."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from support.wire_fuzz import ACTIONS, PLACES, Reader, check_engine, served, written

EXAMPLES = max(300, settings.default.max_examples if settings.default else 0)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, PLACES)
def test_whatever_comes_in_whatever_pieces(actions: list[tuple[str, int, Any]], places: list[int]) -> None:
    check_engine(actions, places)


def test_the_fuzzer_reaches_answers_and_every_end() -> None:
    """What is checked would mean little if requests never got through."""
    actions: list[tuple[str, int, Any]] = [
        ("open", 0, "Stream"), ("message", 0, 5), ("message", 0, 3), ("end", 0, None),
        ("open", 0, "Unary"), ("message", 1, 1900), ("end", 1, None),
        ("open", 0, "None"), ("end", 2, None),
        ("open", 0, "Stream"), ("message", 3, 2001),
        ("open", 0, "Many"), ("message", 4, 100), ("reset", 4, 8),
    ]  # fmt: skip
    output, engine, service = served([written(actions).text])
    reader = Reader(output)
    assert reader.replies[1][0].startswith(b"re:1.mmm") and reader.statuses[5] == 12 and reader.statuses[7] == 8
    assert engine.counters.calls == 4 and service.batches and service.gone_calls
