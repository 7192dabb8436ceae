"""Everything that decides law except events and regions, as one value with one digest.

Merging is by addition only. Packs come in order, the inline section last; each may add groups, data classes and
regimes under new ids. Nothing can be said anew, so a child never widens its parent: it narrows by a regime of its
own, since a request must satisfy every regime that applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from pydantic import ValidationError, model_validator

from borderpost.policy import canonical, check, lineage
from borderpost.policy.fields import Identifier, Label, RouteName, refuse_at
from borderpost.policy.pack import PolicyPack, Regime, Rules
from borderpost.policy.schema import (
    EvidenceSpec,
    Here,
    InlineRules,
    PolicySection,
    RegionSpec,
    RouteSpec,
    Sink,
    TenantSpec,
)
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel, YamlDocument, validate


class PolicyBundle(StrictModel):
    """Packs, inline rules, evidence, tenants, routes and this gateway's place. Always consistent."""

    here: Here
    """This gateway's own place."""
    sinks: Mapping[Identifier, Sink] = {}
    """Places to which this gateway sends what it knows of requests, by name."""
    packs: tuple[PolicyPack, ...] = ()
    """Packs, in order."""
    inline: InlineRules = InlineRules()
    """Rules of this deployment's own."""
    evidence: EvidenceSpec = EvidenceSpec()
    """Which evidence is read, and what the unknown means."""
    tenants: Mapping[Label, TenantSpec] = {}
    """Tenants by name."""
    routes: Mapping[RouteName, RouteSpec] = {}
    """Routes by name."""

    @property
    def parts(self) -> tuple[Rules, ...]:
        """Return the packs and the inline rules, in the order of merging."""
        return (*self.packs, self.inline)

    @property
    def regimes(self) -> tuple[Regime, ...]:
        """Return every regime, sorted by id."""
        return tuple(sorted((regime for rules in self.parts for regime in rules.regimes), key=lambda r: r.id))

    @property
    def children(self) -> frozenset[str]:
        """Return the ids of regimes that can only narrow: those of packs with a parent."""
        return frozenset(regime.id for pack in self.packs if pack.metadata.parent for regime in pack.regimes)

    @property
    def vocabulary(self) -> check.Vocabulary:
        """Return every group, data class and regime by name."""
        return check.vocabulary_of(self.parts)

    def canonical(self) -> bytes:
        """Return the bundle's one form in bytes (RFC 8785 profile)."""
        return canonical.canonical_bytes(self)

    @property
    def digest(self) -> str:
        """Return `sha256:<hex>` of the canonical bytes."""
        return canonical.digest_of(self.canonical())

    @staticmethod
    def from_canonical(raw: bytes) -> PolicyBundle:
        """Read a bundle back. Raises BorderpostError BP0215 if the bytes are not exactly a canonical bundle."""
        return canonical.from_canonical(PolicyBundle, raw)

    @model_validator(mode="after")
    def _consistent(self) -> PolicyBundle:
        refuse_at("PolicyBundle", islice(self._findings(), limits.PROBLEMS_MAX))
        return self

    def _findings(self) -> Iterator[check.Finding]:
        if len(self.packs) > limits.POLICY_PACKS_MAX:
            detail = f"{len(self.packs)} packs; the most is {limits.POLICY_PACKS_MAX}"
            yield ("policy", "packs"), BorderpostError("BP0217", detail)
        before = check.Vocabulary()
        ids: set[str] = set()
        for index, pack in enumerate(self.packs):
            if pack.metadata.id in ids:
                yield ("packs", index), BorderpostError("BP0206", f"pack `{pack.metadata.id}` is loaded twice")
            for path, error in (
                *lineage.check_lineage(pack, ids, before),
                *check.check_rules(pack, before),
                *check.check_conditions(pack.regimes, self.tenants),
            ):
                yield ("packs", index, *path), error
            ids.add(pack.metadata.id)
            before = before.grown(pack)
        own = (*check.check_rules(self.inline, before), *check.check_conditions(self.inline.regimes, self.tenants))
        for path, error in own:
            yield ("policy", *path), error
        known = before.grown(self.inline)
        yield from check.check_sections(known, self.evidence, self.tenants, self.routes)
        yield from check.check_modes(known, self.inline, self.evidence, self.tenants, self.routes)


def read_pack(document: YamlDocument, earlier: Sequence[PolicyPack] = ()) -> PolicyPack:
    """Validate a pack file that is loaded after `earlier`. Raises Problems, each with its line."""
    pack = validate(PolicyPack, document)
    check_pack(pack, earlier, document)
    return pack


def check_pack(pack: PolicyPack, earlier: Sequence[PolicyPack], document: YamlDocument) -> None:
    """Refuse a pack that does not fit to those loaded before it. Raises Problems, each with its line."""
    known = check.vocabulary_of(earlier)
    before = {other.metadata.id for other in earlier}
    check.raise_found((*lineage.check_lineage(pack, before, known), *check.check_rules(pack, known)), document)


def build_bundle(
    *,
    here: Here,
    sinks: Mapping[str, Sink] | None = None,
    packs: Sequence[PolicyPack] = (),
    policy: PolicySection | InlineRules | None = None,
    evidence: EvidenceSpec | None = None,
    tenants: Mapping[str, TenantSpec] | None = None,
    routes: Mapping[str, RouteSpec] | None = None,
    document: YamlDocument | None = None,
) -> PolicyBundle:
    """Join the configuration's sections and the packs read before.

    `document` is the configuration file, whose top keys are `policy`, `evidence`, `tenants` and `routes`; with it,
    each mistake has its line. Raises Problems.
    """
    inline = policy.inline if isinstance(policy, PolicySection) else policy or InlineRules()
    try:
        return PolicyBundle(
            here=here,
            sinks=sinks or {},
            packs=tuple(packs),
            inline=inline,
            evidence=evidence or EvidenceSpec(),
            tenants=tenants or {},
            routes=routes or {},
        )
    except ValidationError as error:
        found = [(tuple(item["loc"]), item["ctx"]["error"]) for item in error.errors() if "ctx" in item]
        check.raise_found(found, document)
        raise


def check_regions(
    bundle: PolicyBundle, regions: Mapping[str, RegionSpec], document: YamlDocument | None = None
) -> None:
    """Refuse regions whose zone is no known group. Raises Problems; see `build_bundle` for `document`."""
    check.raise_found(check.check_regions(regions, bundle.vocabulary), document)
