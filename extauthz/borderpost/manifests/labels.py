"""What objects say of themselves: which data they handle, whose, where they stand, and which findings are accepted.

Keys begin with a prefix, `borderpost.dev/` unless another is asked for; labels and annotations are read alike. A
label's value has neither comma nor space (Kubernetes), so `.` and `_` part names too where the whole is no name. In
tags of clouds, which each allow other characters, anything but letters and digits is one hyphen and case does not
count: `borderpost-data-class` is `borderpost.dev/data-class`. What an object and its pod template say is joined; a
namespace speaks for what they leave out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from borderpost.manifests import rules
from borderpost.manifests.locations import Geography, Sighting
from borderpost.manifests.tree import Node
from borderpost.policy import codes
from borderpost.policy.schema import TenantSpec
from borderpost.reports.finding import Finding, Rule

PREFIX_DEFAULT = "borderpost.dev/"
LABELS: Final = {
    "data-class": "Classes of the policy: `health`; in an annotation also `health, payment`.",
    "subjects": "Where the people are whose data it is: codes and groups such as `DE` and `EEA`; `*`, in a label "
    "`everybody`, for all.",
    "tenant": "A tenant of the configuration, whose classes and purpose count too.",
    "purpose": "What the data is used for.",
    "region": "Where it stands: a region of the configuration or of a cloud.",
    "country": "Where it stands: a place's code.",
    "ignore": "Accepted findings, `BPM001 reason`; several one a line, or parted by `;`. In an annotation.",
}
"""What is read, by the last part of its key."""

_STRONG = re.compile(r"[,;\s]+")
_WEAK = re.compile(r"[._]")
_OF_THE_DOCTOR = "BPD"
"""What rules of `borderpost doctor` begin with: it reads the same annotation."""
_OTHER = re.compile(r"[^a-z0-9]+")


class Handled(NamedTuple):
    """The data that something handles."""

    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    """Codes, groups and `*`; sorted. None where no label says it, which is a finding."""
    tenant: str | None
    purpose: str | None
    ignored: frozenset[str]
    """Ids of rules whose findings about it are accepted."""


class Labelled(NamedTuple):
    """What something says of itself."""

    handled: Handled | None
    """None: no data class is said."""
    sightings: tuple[Sighting, ...]
    """Where it says that it stands."""
    findings: tuple[Finding, ...]
    """What is wrong with what it says."""
    ignored: frozenset[str] = frozenset()


class Words(NamedTuple):
    """The names that labels may use, and what stands in for those that are missing."""

    classes: frozenset[str]
    groups: frozenset[str]
    tenants: Mapping[str, TenantSpec]
    default_classes: tuple[str, ...]
    """Classes of a tenant that sets none."""
    subjects: tuple[str, ...]
    """Whose data it is where no label says so; none: that is a finding."""


class LabelReader:
    """Reads labels by one set of keys against one policy."""

    def __init__(self, words: Words, geography: Geography, prefix: str = PREFIX_DEFAULT) -> None:
        self._words = words
        self._geography = geography
        self._keys = {prefix + name: name for name in LABELS}
        stem = prefix.rstrip("/").removesuffix(".dev")
        self._tags = {_plain(key): name for key, name in self._keys.items()}
        self._tags |= {_plain(f"{stem}/{name}"): name for name in LABELS}
        self._by_fold = {name.casefold(): name for name in words.groups}

    def read(
        self, subject: str, own: Sequence[Node], inherited: Sequence[Node] = (), *, tags: bool = False
    ) -> Labelled:
        """Read mappings of labels, annotations or tags: an object's own, then those that speak where it does not."""
        find = self._tag if tags else self._keys.get
        said = _gathered(own, find)
        for name, nodes in _gathered(inherited, find).items():
            said.setdefault(name, nodes)
        findings: list[Finding] = []
        ignored = self._ignored(subject, said.get("ignore", ()), findings)
        sightings = [
            sighting
            for name in ("region", "country")
            for node in said.get(name, ())
            for sighting in self._sightings(subject, name, node, findings)
        ]
        handled = self._handled(subject, said, ignored, findings)
        kept = tuple(finding for finding in findings if finding.rule.id not in ignored)
        return Labelled(handled, tuple(sightings), kept, ignored)

    def knows_subject(self, text: str) -> bool:
        """Say whether a text names a place or a group of the policy."""
        return self._place(text) is not None

    def _tag(self, key: str) -> str | None:
        return self._tags.get(_plain(key))

    def _sightings(self, subject: str, name: str, node: Node, findings: list[Finding]) -> Iterable[Sighting]:
        for part in _STRONG.split(node.text or ""):
            location = self._geography.place(part) if part else None
            if location is None:
                findings.append(_wrong(rules.LABEL_UNREADABLE, subject, node, f"`{part}` is no {name} that is known."))
            yield Sighting(location, node, f"the label {node.path[-1]}")

    def _handled(
        self, subject: str, said: Mapping[str, list[Node]], ignored: frozenset[str], findings: list[Finding]
    ) -> Handled | None:
        words = self._words
        classes = self._names(subject, "data class", said.get("data-class", ()), self._class, findings)
        tenant = self._one(subject, "tenant", said.get("tenant", ()), findings)
        purpose = self._one(subject, "purpose", said.get("purpose", ()), findings)
        if tenant is not None:
            spec = words.tenants.get(tenant)
            if spec is None:
                message = f"the configuration has no tenant `{tenant}`."
                findings.append(_wrong(rules.LABEL_UNREADABLE, subject, said["tenant"][0], message))
                tenant = None
                classes |= set(words.default_classes)
            else:
                classes |= set(spec.classes if spec.classes is not None else words.default_classes)
                purpose = purpose if purpose is not None else spec.purpose
        if not classes:
            return None
        subjects = self._names(subject, "place or group", said.get("subjects", ()), self._place, findings)
        if not said.get("subjects"):
            subjects = set(words.subjects)
        if not subjects and not said.get("subjects"):
            node = (said.get("data-class") or said["tenant"])[0]
            message = f"it handles {', '.join(sorted(classes))} data, and no label says whose."
            findings.append(_wrong(rules.SUBJECTS_UNSAID, subject, node, message))
        return Handled(tuple(sorted(classes)), tuple(sorted(subjects)), tenant, purpose, ignored)

    def _class(self, text: str) -> str | None:
        return next((name for name in (text, text.lower()) if name in self._words.classes), None)

    def _place(self, text: str) -> str | None:
        if text in self._words.groups or text == "*":
            return text
        if text in ("any", "everybody"):  # a label's value cannot be an asterisk
            return "*"
        code = text.upper()
        if codes.is_code(code):
            return code
        return self._by_fold.get(text.casefold())

    def _names(
        self,
        subject: str,
        what: str,
        nodes: Iterable[Node],
        known: Callable[[str], str | None],
        findings: list[Finding],
    ) -> set[str]:
        """Return the names in labels' values, and find fault with those that nobody knows."""
        found: set[str] = set()
        for node in nodes:
            parts = [part for part in _STRONG.split(node.text or "") if part]
            if not parts:
                findings.append(_wrong(rules.LABEL_UNREADABLE, subject, node, f"no {what} is named."))
            for part in parts:
                name = known(part)
                several = [known(piece) for piece in _WEAK.split(part)]
                if name is not None:
                    found.add(name)
                elif all(piece is not None for piece in several):
                    found.update(piece for piece in several if piece is not None)
                else:
                    message = f"`{part}` is no {what} that the policy has."
                    findings.append(_wrong(rules.LABEL_UNREADABLE, subject, node, message))
        return found

    def _one(self, subject: str, what: str, nodes: Iterable[Node], findings: list[Finding]) -> str | None:
        """Return the one value of labels that may not differ."""
        first: str | None = None
        for node in nodes:
            if first is not None and node.text != first:
                findings.append(_wrong(rules.LABEL_UNREADABLE, subject, node, f"another {what} than `{first}`."))
            first = first or node.text
        return first

    def _ignored(self, subject: str, nodes: Iterable[Node], findings: list[Finding]) -> frozenset[str]:
        accepted: set[str] = set()
        for node in nodes:
            for line in re.split(r"[;\n]", node.text or ""):
                codes_, _, reason = line.strip().partition(" ")
                if not codes_:
                    continue
                named = codes_.split(",")
                unknown = [code for code in named if code not in rules.RULES and not code.startswith(_OF_THE_DOCTOR)]
                if unknown:
                    message = f"`{unknown[0]}` is no rule; nothing is ignored by it."
                elif not reason.strip():
                    message = f"{codes_} is not ignored, since no reason is given."
                else:
                    accepted.update(named)
                    continue
                findings.append(_wrong(rules.IGNORED_BADLY, subject, node, message))
        return frozenset(accepted)


def _gathered(metas: Iterable[Node], find: Callable[[str], str | None]) -> dict[str, list[Node]]:
    """Return the nodes of each label that is read."""
    found: dict[str, list[Node]] = {}
    for meta in metas:
        for key, node in meta.items():
            name = find(key)
            if name is not None and node.value is not None:
                found.setdefault(name, []).append(node)
    return found


def _plain(key: str) -> str:
    return _OTHER.sub("-", key.lower()).strip("-")


def _wrong(rule: Rule, subject: str, node: Node, message: str) -> Finding:
    return Finding(rule, message, *node.place[:3], subject=subject, level=rule.level)
