"""The section `shadow`: a candidate policy that is weighed beside the law and binds nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from borderpost.config.packs import read_packs
from borderpost.policy.bundle import PolicyBundle, build_bundle, check_regions
from borderpost.policy.check import raise_found
from borderpost.policy.compile import compile_policy
from borderpost.policy.own_processors import check_own_processors
from borderpost.policy.schema import PolicySection, RegionSpec
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath, YamlDocument


class ShadowSection(StrictModel):
    """What is weighed beside the law. Its answers are compared with those given, and bind nobody."""

    policy: PolicySection | None = None
    """A whole candidate in the form of `policy`: packs and rules. Evidence, tenants, routes and regions are those of
    this file. null weighs nothing but events of mode `drill`, where there are any, in the policy in force."""


def load_shadow(
    section: ShadowSection, live: PolicyBundle, regions: Mapping[str, RegionSpec], base: Path, document: YamlDocument,
    now_us: int,
) -> PolicyBundle | None:  # fmt: skip
    """Build the candidate, None where there is none.

    `live` is the law in force, `base` the configuration's folder, and `now_us` the instant at which this gateway's own
    place and its sinks are held to the candidate, if it says so. Raises Problems, each at its line of the shadow.
    """
    if section.policy is None:
        return None
    lines = _below(document)
    try:
        bundle = build_bundle(
            here=live.here,
            sinks=live.sinks,
            packs=read_packs(section.policy.packs, base, lines),
            policy=section.policy,
            evidence=live.evidence,
            tenants=live.tenants,
            routes=live.routes,
            document=lines,
        )
        check_regions(bundle, regions, lines)
        if bundle.inline.processors.checked == "at-load":
            raise_found(check_own_processors(compile_policy(bundle, regions), now_us), lines)
    except BorderpostError as error:
        raise Problems([_in_shadow(error)]) from error
    except Problems as several:
        raise Problems([_in_shadow(error) for error in several.errors]) from several
    return bundle


def _below(document: YamlDocument) -> YamlDocument:
    """Return the file as it would be if the candidate were the law: `policy` at the lines of `shadow.policy`.

    Other sections keep their lines: a tenant's data class that only the candidate lacks is shown at the tenant.
    """

    def moved(path: KeyPath) -> KeyPath | None:
        if path[:2] == ("shadow", "policy"):
            return path[1:]
        return None if path[:1] == ("policy",) else path

    lines = {there: at for path, at in document.lines.items() if (there := moved(path)) is not None}
    lines.setdefault(("policy",), document.lines.get(("shadow",), (1, 1)))
    overrides = {there: name for path, name in document.overrides.items() if (there := moved(path)) is not None}
    return YamlDocument(document.file, document.data, lines, overrides)


def _in_shadow(error: BorderpostError) -> BorderpostError:
    """Return the same error with the key as the file has it, and a word that it is the candidate's."""
    key = error.place.key
    place = error.place
    if key is not None and (key == "policy" or key.startswith(("policy.", "policy["))):
        place = place._replace(key=f"shadow.{key}")
    return BorderpostError(error.code, f"in the shadow: {error.detail}", place=place, mend=error.mend)
