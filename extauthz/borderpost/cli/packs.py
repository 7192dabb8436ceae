"""List packs of law with their dates, or show what one of them says.

    borderpost packs                    every built-in pack
    borderpost packs show eu-gdpr       its regimes and entries, with dates, requirements and sources
    borderpost packs --in-use           the packs that the configuration loads, your own among them

A pack is overdue from the day after its `review_by`: somebody has to read the law again. Nothing of it is legal advice.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError
from borderpost_base.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from borderpost.policy.pack import PolicyPack, Regime


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("show", nargs="?", choices=("show",), metavar="show", help="show one pack instead of a list")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the pack to show, or a collection to list")
    parser.add_argument("--in-use", action="store_true", help="the packs that the configuration loads, in their order")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """List or show; overdue packs are marked, and no finding."""
    from borderpost.config.packs import built_in_packs
    from borderpost.policy.built_in import COLLECTIONS

    wanted: str | None = arguments.name
    if arguments.show and wanted is None:
        raise BorderpostError("BP0004", "`show` needs the name of a pack", mend="`borderpost packs` lists them")
    today = datetime.fromtimestamp(World().now_us() // 1_000_000, UTC).date()
    if arguments.in_use:
        packs: Sequence[PolicyPack] = load(arguments).bundle.packs
    else:
        packs = built_in_packs(wanted or "world")
    if wanted is None or (wanted in COLLECTIONS and not arguments.in_use):
        _list(packs, today, output)
    else:
        _show(_named(wanted, packs), today, output)
    return CLEAN


def _named(name: str, packs: Sequence[PolicyPack]) -> PolicyPack:
    found = next((pack for pack in packs if pack.metadata.id == name), None)
    if found is None:
        loaded = ", ".join(pack.metadata.id for pack in packs)
        raise BorderpostError("BP0213", f"the configuration loads no pack `{name}`", mend=f"it loads: {loaded}")
    return found


def _list(packs: Sequence[PolicyPack], today: date, output: Output) -> None:
    facts = [_facts(pack, today) for pack in packs]
    if output.as_json:
        output.result({"packs": facts})
        return
    headings = ("pack", "version", "as of", "review by", "overdue", "regimes")
    rows = [
        [each["id"], each["version"], each["as_of"], each["review_by"] or "", _due(each), ", ".join(each["regimes"])]
        for each in facts
    ]
    output.table(headings, rows)


def _facts(pack: PolicyPack, today: date) -> dict[str, Any]:
    from borderpost.reviews import overdue_days

    metadata = pack.metadata
    return {
        "id": metadata.id,
        "version": metadata.version,
        "as_of": metadata.as_of.isoformat(),
        "review_by": metadata.review_by.isoformat() if metadata.review_by else None,
        "overdue_days": overdue_days(metadata, today),
        "parent": metadata.parent,
        "builds_on": list(metadata.builds_on),
        "regimes": [regime.id for regime in pack.regimes],
    }


def _due(facts: dict[str, Any]) -> str:
    if facts["review_by"] is None:
        return "no date"
    return f"{facts['overdue_days']} days" if facts["overdue_days"] else "no"


def _show(pack: PolicyPack, today: date, output: Output) -> None:
    from borderpost.cli.pack_words import entries_of

    if output.as_json:
        entries = {regime.id: [asdict(entry) for entry in entries_of(pack, regime)] for regime in pack.regimes}
        output.result({"pack": _facts(pack, today), "content": pack.model_dump(mode="json"), "entries": entries})
        return
    facts = _facts(pack, today)
    output.data(output.paint(f"{facts['id']} {facts['version']}", "bold", stream=output.stdout))
    output.data(f"  read {facts['as_of']}, review by {facts['review_by'] or 'no date'}, overdue: {_due(facts)}")
    for regime in pack.regimes:
        _show_regime(pack, regime, output)


def _show_regime(pack: PolicyPack, regime: Regime, output: Output) -> None:
    from borderpost.cli import pack_words

    output.data("")
    output.data(output.paint(f"{regime.id}: {regime.title}", "bold", stream=output.stdout))
    output.data(f"  source   {regime.source}{_doubt(regime.confidence)}")
    output.data(f"  about    {pack_words.condition(regime.applies_when)}")
    if held := pack_words.window(regime):
        output.data(f"  holds    {held}")
    output.data(f"  default  {pack_words.otherwise(regime)}")
    for counter in regime.counters:
        output.data(f"  counter  {counter.id}: {pack_words.counting(counter)}")
    if regime.note:
        output.data(f"  note     {regime.note}")
    for entry in pack_words.entries_of(pack, regime):
        said = "; ".join(part for part in (entry.holds, *entry.conditions) if part)
        output.data(f"  {entry.rule.ljust(7)}  {entry.basis}: to {entry.to}{f' ({said})' if said else ''}")
        output.data(f"           {entry.source}, read {entry.as_of}{_doubt(entry.confidence)}")
        if entry.note:
            output.data(f"           {entry.note}")


def _doubt(confidence: str) -> str:
    return " [needs review]" if confidence == "needs-review" else ""
