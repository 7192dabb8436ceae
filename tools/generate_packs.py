"""Make docs/reference/packs.md from the built-in packs: every regime and entry with its dates and its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from generate_reference import NOTE, table

from borderpost.cli import pack_words
from borderpost.config.packs import built_in_packs, introduction
from borderpost.policy.built_in import COLLECTIONS
from borderpost.policy.pack import GroupRule, PolicyPack, Regime

PAGE = Path("docs/reference/packs.md")
_KEYS = {
    "contract": "contracts",
    "operator_certified": "operator.certifications",
    "attestation": "attestations",
    "encryption": "encryption",
}
"""What an entry asks for, and the key of a region that brings it."""
_INTRODUCTION = """
# Built-in packs

Law as data, one pack a law. [The guide](../guide/packs.md) shows how to list packs, and how to write your own. **None
of it is legal advice.** Each entry has its source and the day on which it was read; *needs-review* marks what its
author knows from general reading only, to be checked before you rely on it. A day means 00:00:00 UTC; `until` is
exclusive. What is not revocable goes on counting where the list of legal events is too old.
"""


def generate(_root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}."""
    packs = built_in_packs(*COLLECTIONS)
    lines = [NOTE, "", *_INTRODUCTION.strip().splitlines(), "", *_collections(), *_labels(packs)]
    for pack in packs:
        lines += _pack(pack)
    return {PAGE: "\n".join(lines).rstrip().encode() + b"\n"}


def _collections() -> list[str]:
    rows = [(f"`{name}`", ", ".join(f"[`{member}`](#{member})" for member in of)) for name, of in COLLECTIONS.items()]
    return table(("Collection", "Packs"), rows)


def _labels(packs: Iterable[PolicyPack]) -> list[str]:
    """Say which words of a region's configuration open which bases."""
    opens: dict[tuple[str, str], list[str]] = {}
    for regime in (regime for pack in packs for regime in pack.regimes):
        asked = [(entry.basis, entry.require) for entry in regime.allow]
        asked += [(f"{entry.basis} (escapes it)", entry.unless) for entry in regime.deny]
        for basis, require in asked:
            for field, key in _KEYS.items():
                if (label := getattr(require, field, None)) is not None:
                    opens.setdefault((key, label), []).append(f"`{regime.id}`: {basis}")
    rows = [
        (f"`{key}`", f"`{label}`", ", ".join(dict.fromkeys(bases))) for (key, label), bases in sorted(opens.items())
    ]
    told = "What a region (or `here`, or a sink) may say of itself, and what it opens. Write it down while it is true."
    return ["## Labels", "", told, "", *table(("Key", "Label", "Opens"), rows)]


def _pack(pack: PolicyPack) -> list[str]:
    metadata = pack.metadata
    facts = [f"Version {metadata.version}", f"read {metadata.as_of}", f"to be reviewed by {metadata.review_by}"]
    if metadata.builds_on:
        facts.append(f"builds on {', '.join(f'`{name}`' for name in metadata.builds_on)}")
    lines = [f"## `{metadata.id}`", "", f"{'; '.join(facts)}.", ""]
    for paragraph in introduction(metadata.id):
        lines += [paragraph, ""]
    lines += table(("Group", "Places", "Source"), _groups(pack)) if pack.groups else []
    if pack.data_classes:
        rows = [(f"`{n}`", str(c.rank), ", ".join(f"`{i}`" for i in c.implies)) for n, c in pack.data_classes.items()]
        lines += table(("Data class", "Rank", "Implies"), rows)
    for regime in pack.regimes:
        lines += _regime(pack, regime)
    return lines


def _groups(pack: PolicyPack) -> Iterator[tuple[str, str, str]]:
    for name, group in pack.groups.items():
        source = group.source if isinstance(group, GroupRule) else None
        doubt = " (*needs-review*)" if isinstance(group, GroupRule) and group.confidence == "needs-review" else ""
        yield f"`{name}`", pack_words.group_words(group), f"{source or ''}{doubt}"


def _regime(pack: PolicyPack, regime: Regime) -> list[str]:
    about = [f"Applies to: {pack_words.condition(regime.applies_when)}"]
    about += [held] if (held := pack_words.window(regime)) else []
    about += [pack_words.otherwise(regime)]
    doubt = " *needs-review*." if regime.confidence == "needs-review" else ""
    lines = [f"### `{regime.id}`", "", f"**{regime.title}.** {'; '.join(about)}. Source: {regime.source}.{doubt}", ""]
    lines += [regime.note, ""] if regime.note else []
    for counter in regime.counters:
        lines += [f"Counter `{counter.id}`: {pack_words.counting(counter)}. Source: {counter.source}.", ""]
    rows = list(_entries(pack, regime))
    return [*lines, *table(("Rule", "To", "Basis", "Holds", "Conditions", "Source"), rows)] if rows else lines


def _entries(pack: PolicyPack, regime: Regime) -> Iterable[tuple[str, ...]]:
    for entry in pack_words.entries_of(pack, regime):
        source = f"{entry.source} ({entry.as_of}{', *needs-review*' if entry.confidence == 'needs-review' else ''})"
        if entry.note:
            source += f". {entry.note}"
        yield entry.rule, entry.to, f"`{entry.basis}`", entry.holds, "; ".join(entry.conditions), source
