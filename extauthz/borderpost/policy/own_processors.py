"""Whether the law lets this gateway's own place and its sinks see what they will see, asked before any request.

Each request is held to this anyway (`here-not-allowed`, `sink-not-allowed:…`). Asked at load, it tells an operator
that a gateway stands in the wrong place before its users find out.
"""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.policy.check import Finding
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.regimes import HYBRID
from borderpost_base.errors import BorderpostError


def check_own_processors(policy: CompiledPolicy, now_us: int) -> Iterator[Finding]:
    """Find regimes about `policy.processors.subjects` that refuse `here` or a sink for some protected data class.

    `now_us` is microseconds since 1970. Finds nothing where `checked` is `per-request`.
    """
    processors = policy.bundle.inline.processors
    if processors.checked != "at-load":
        return
    subjects = policy.territory.cells(processors.subjects)
    flags = HYBRID if policy.mode.width else 0
    index = policy.index
    for regime in policy.regimes:
        if not regime.subjects & subjects or not regime.start_us <= now_us < regime.end_us:
            continue
        refused: dict[int, str] = {}
        for name, classes in sorted(policy.classes.items()):
            if name in policy.free or not regime.bit & policy.about_data(classes):
                continue
            passing = ~regime.embargoed if regime.embargo else policy.verdict(regime, now_us, classes, flags)[0].passing
            for bit in (index.here, *index.sinks.values()):
                if not passing & bit:
                    refused.setdefault(bit, name)
        for bit, name in refused.items():
            sink = next((sink for sink, own in index.sinks.items() if own == bit), None)
            path = ("here",) if sink is None else ("sinks", sink)
            yield (
                path,
                BorderpostError("BP0223", f"regime `{regime.id}` does not let it see `{name}` data of its subjects"),
            )
