"""What the service asks of compiled limits files: which rule a descriptor meets, and what it charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from borderpost_ratelimit.limits import Limit, Unit

Entries = tuple[tuple[str, str], ...]
"""Keys and values of a descriptor, in order, without the reserved keys."""

RESERVED = "borderpost."
"""What reserved keys begin with: callers' descriptors hold none but the two below."""
REQUEST_KEY = "borderpost.request"
"""Reserved key of a descriptor entry: its value names the request (our decision id, or `x-request-id`). It takes no
part in matching and in no counter's key."""
PHASE_KEY = "borderpost.phase"
"""Reserved key of a descriptor entry: `done` says that the request's stream has ended. It takes no part in matching."""
PHASE_DONE = "done"


@dataclass(frozen=True, slots=True)
class Rule:
    """A node of a limits file that limits something."""

    domain: str
    path: str
    """The rule's full key, as envoyproxy/ratelimit writes it: `domain.key_value.key`."""
    limits: tuple[Limit, ...]
    """Empty for a rule that is unlimited; one in envoyproxy/ratelimit's format."""
    name: str = ""
    """What other rules replace it by."""
    replaces: tuple[str, ...] = ()
    unlimited: bool = False
    shadow: bool = False
    """Whether being over refuses nothing and is counted."""
    quota: bool = False
    """Whether being over refuses nothing by itself and is told in the answer's metadata."""
    metadata: Mapping[str, object] | None = None
    """What is told of a descriptor that passes, as dynamic metadata."""


class Match(NamedTuple):
    """A rule that one descriptor meets. A tuple, since one is made for each new descriptor: that takes a third of the
    time."""

    rule: Rule
    keys: tuple[str, ...]
    """The counter of each of the rule's limits."""
    metric: str
    """The name under which it is counted in the statistics: the rule's path, or one with values of the request where
    the file asks for that."""


class RuleBook(Protocol):
    """All domains of one set of files. Immutable: a reload makes another one."""

    @property
    def domains(self) -> frozenset[str]:
        """Return the domains that have a file."""
        ...

    def match(self, domain: str, entries: Entries) -> Match | None:
        """Return what the entries meet; None without a rule, or without such a domain."""
        ...

    def override(self, domain: str, entries: Entries, amount: int, unit: Unit, multiplier: int = 1) -> Match | None:
        """Return a match for a limit that the request brings itself (`RateLimitDescriptor.limit`): `amount` in
        `multiplier` units, which is at least 1, and the unit is a known one. None without such a domain."""
        ...
