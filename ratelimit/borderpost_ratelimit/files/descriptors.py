"""What both formats of limits files say, once read: a tree of descriptors, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from borderpost_base.errors import Place
from borderpost_ratelimit.limits import Limit, Scope, WhenAway


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a descriptor says of limiting."""

    limits: tuple[Limit, ...]
    limit_names: tuple[str, ...]
    """One for each limit; empty where it has none. It tells limits of one rule apart that count in the same way."""
    name: str = ""
    replaces: tuple[str, ...] = ()
    unlimited: bool = False
    shadow: bool = False
    quota: bool = False
    detailed_metric: bool = False
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One item of a `descriptors` list."""

    place: Place
    key: str
    """Not empty."""
    value: str
    """Empty: any value."""
    rule: RuleText | None
    descriptors: tuple[Descriptor, ...]
    value_to_metric: bool = False
    share_threshold: bool = False


@dataclass(frozen=True, slots=True)
class DomainFile:
    """One file, or one document of it."""

    place: Place
    domain: str
    """Not empty."""
    descriptors: tuple[Descriptor, ...]
    scope: Scope = Scope.REGION
    when_away: WhenAway = WhenAway.LOCAL
