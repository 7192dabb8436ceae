"""Descriptors of all files become one tree a domain."""

from __future__ import annotations

from collections.abc import Iterable

from borderpost_base.errors import BorderpostError
from borderpost_ratelimit.files.book import Domain, Node, new_top
from borderpost_ratelimit.files.descriptors import Descriptor, DomainFile, RuleText
from borderpost_ratelimit.files.keys import KeyStyle, limit_marks
from borderpost_ratelimit.rules import Rule


def compile_domains(
    files: Iterable[DomainFile], *, merge_domains: bool, style: KeyStyle, errors: list[BorderpostError]
) -> dict[str, Domain]:
    """Return the domains' trees, in the order of the files; what cannot be is added to `errors` and left out.

    With `merge_domains`, files of one domain add their descriptors to one list; what the first says of the domain
    itself holds.
    """
    domains: dict[str, Domain] = {}
    for file in files:
        known = domains.get(file.domain)
        if known is None:
            known = domains[file.domain] = Domain(new_top(file.domain, file.place), file.scope, file.when_away)
        elif not merge_domains:
            detail = f"`{file.domain}` is the domain of {known.top.place} already"
            errors.append(BorderpostError("BP1603", detail, place=file.place))
            continue
        _grow(known.top, file.descriptors, file.domain, file.domain, style, errors)
    return domains


def _grow(
    parent: Node,
    descriptors: tuple[Descriptor, ...],
    domain: str,
    parent_path: str,
    style: KeyStyle,
    errors: list[BorderpostError],
) -> None:
    for descriptor in descriptors:
        node = Node(descriptor.key, descriptor.value, descriptor.place)
        path = f"{parent_path}.{node.composite}"
        twin = parent.children.get(node.composite)
        if twin is not None:
            detail = f"`{path}` stands at {twin.place} already"
            errors.append(BorderpostError("BP1605", detail, place=descriptor.place))
            continue
        if descriptor.share_threshold and "*" not in node.composite:
            detail = f"`{node.composite}` holds no `*`"
            errors.append(BorderpostError("BP1609", detail, place=descriptor.place))
        node.value_to_metric = descriptor.value_to_metric
        node.shares = descriptor.share_threshold
        text = descriptor.rule
        if text is not None:
            node.rule = _rule(text, domain, path)
            node.marks = limit_marks(text.limits, text.limit_names, style)
            node.detailed = text.detailed_metric
        _grow(node, descriptor.descriptors, domain, path, style, errors)
        parent.add(node)


def _rule(text: RuleText, domain: str, path: str) -> Rule:
    return Rule(
        domain, path, text.limits, text.name, text.replaces, text.unlimited, text.shadow, text.quota, text.metadata
    )
