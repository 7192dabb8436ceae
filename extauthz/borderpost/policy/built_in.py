"""The packs of law that the product carries: their names, collections of them, and where their text is.

Each law is a pack of its own and says what it builds on, so that any of them can be listed alone. A collection is a
name for several; it has no text, no version and no say in the law.
"""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Final

from borderpost_base.errors import BorderpostError

STARTER: Final = (
    "base",
    "eu-gdpr",
    "uk-gdpr",
    "ch-fadp",
    "ae",
    "sg-pdpa",
    "in-dpdp",
    "br-lgpd",
    "us-general",
    "us-28cfr202",
    "us-ofac",
)
"""Law to begin with."""

PACKS: Final = (
    *STARTER,
    "cn-pipl",
    "ru-152fz",
    "sa-pdpl",
    "jp-appi",
    "kr-pipa",
    "au-app",
    "ca-pipeda",
    "ca-qc",
    "us-28cfr202-bulk",
    "us-hipaa",
    "us-fedramp",
    "us-itar",
)
"""Every pack that the product carries, in the order of loading."""

COLLECTIONS: Final[Mapping[str, tuple[str, ...]]] = {"starter": STARTER, "world": PACKS}
"""Names that stand for several packs."""


def members(name: str) -> tuple[str, ...]:
    """Return the packs that a name under `policy.packs` stands for. Raises BorderpostError BP0213."""
    if name in COLLECTIONS:
        return COLLECTIONS[name]
    if name in PACKS:
        return (name,)
    known = (*COLLECTIONS, *PACKS)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    mend = f"did you mean `{near[0]}`?" if near else f"built in: {', '.join(known)}; or give a .yaml path"
    raise BorderpostError("BP0213", f"no built-in pack `{name}`", mend=mend)


def pack_text(name: str) -> Traversable:
    """Return where a built-in pack's YAML is; reading it is the caller's. Raises BorderpostError BP0213."""
    if name not in PACKS:
        raise BorderpostError("BP0213", f"no built-in pack `{name}`", mend=f"built in: {', '.join(PACKS)}")
    return importlib.resources.files("borderpost.policy") / "packs" / f"{name}.yaml"
