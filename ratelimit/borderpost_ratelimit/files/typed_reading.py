"""Documents of our own format become descriptors."""

from __future__ import annotations

import dataclasses

from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import KeyPath, YamlDocument
from borderpost_ratelimit.files.descriptors import Descriptor, DomainFile, RuleText
from borderpost_ratelimit.files.typed import DescriptorSpec, LimitsFile, LimitSpec, unit_as_long
from borderpost_ratelimit.limits import Algorithm, Limit, Scope, Unit, WhenAway


@dataclasses.dataclass(frozen=True, slots=True)
class _Inherited:
    """What descriptors take from what stands above them."""

    domain: str
    scope: Scope
    when_away: WhenAway


def read_typed(document: YamlDocument, when_away: WhenAway, errors: list[BorderpostError]) -> DomainFile | None:
    """Return what the document says; None, and at least one more of `errors`, where it cannot be read."""
    try:
        file = validate(LimitsFile, document)
    except Problems as problems:
        errors.extend(problems.errors)
        return None
    away = when_away if file.when_store_away is None else WhenAway(file.when_store_away)
    above = _Inherited(file.domain, Scope(file.scope), away)
    descriptors = _descriptors(document, ("descriptors",), file.descriptors, above)
    return DomainFile(document.place(()), file.domain, descriptors, above.scope, away)


def _descriptors(
    document: YamlDocument,
    path: KeyPath,
    specs: tuple[DescriptorSpec, ...],
    above: _Inherited,
) -> tuple[Descriptor, ...]:
    return tuple(_descriptor(document, (*path, index), spec, above) for index, spec in enumerate(specs))


def _descriptor(document: YamlDocument, path: KeyPath, spec: DescriptorSpec, above: _Inherited) -> Descriptor:
    own = _Inherited(
        above.domain,
        above.scope if spec.scope is None else Scope(spec.scope),
        above.when_away if spec.when_store_away is None else WhenAway(spec.when_store_away),
    )
    rule = None
    if spec.limits or spec.unlimited:
        binding = not (spec.shadow_mode or spec.quota_mode)
        rule = RuleText(
            tuple(_limit(limit, own, binding) for limit in spec.limits),
            tuple(limit.name or "" for limit in spec.limits),
            spec.name,
            spec.replaces,
            spec.unlimited,
            spec.shadow_mode,
            spec.quota_mode,
            spec.detailed_metric,
            dict(spec.metadata) if spec.metadata else None,
        )
    below = _descriptors(document, (*path, "descriptors"), spec.descriptors, own)
    place = document.place(path)
    return Descriptor(place, spec.key, spec.value, rule, below, spec.value_to_metric, spec.share_threshold)


def _limit(spec: LimitSpec, own: _Inherited, binding: bool) -> Limit:
    algorithm = Algorithm(spec.algorithm)
    bucket = algorithm is Algorithm.TOKEN_BUCKET
    return Limit(
        own.domain,
        algorithm,
        spec.amount,
        Unit.UNKNOWN if algorithm is Algorithm.CONCURRENCY else unit_as_long(spec.window_us),
        spec.window_us,
        (spec.burst or spec.amount) if bucket else 0,
        spec.reserve or 0,
        spec.price_nano,
        binding,
        own.scope,
        own.when_away,
    )
