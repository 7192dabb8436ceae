"""From a path to everything that a gateway decides by: the file, what lies over it, its packs, its events.

Problems are collected through all stages that can still run and raised together, each with its line, so that one
run of `check-config` shows every mistake. Nothing is half loaded: there is a `Loaded` or there are Problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from borderpost.config.checks import cross_checks, own_processor_checks
from borderpost.config.event_list import load_events
from borderpost.config.istio import cluster_name
from borderpost.config.limiter import beside_workers
from borderpost.config.model import Config
from borderpost.config.pack_signatures import pack_signers, signature_files
from borderpost.config.packs import pack_files, read_packs
from borderpost.config.reading import collect, read_model
from borderpost.config.shadow import load_shadow
from borderpost.policy.bundle import PolicyBundle, build_bundle, check_regions
from borderpost.policy.events import EventList
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import RegionSpec
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.world import World
from borderpost_base.yaml_source import YamlDocument, load_yaml_file


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be served."""

    path: Path
    """The file, absolute."""
    config: Config
    """Every section, with its paths made absolute."""
    bundle: PolicyBundle
    """The law: packs, inline rules, evidence, tenants, routes and this gateway's place."""
    regions: Mapping[str, RegionSpec]
    """The regions by id, each with its cluster's name and what `region_defaults` says filled in."""
    events: EventList
    """Legal events; empty where no file is configured."""
    shadow: PolicyBundle | None = None
    """What is weighed beside the law; None where no candidate is configured."""


def load_config(
    path: Path,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    before_packs: Callable[[list[Path]], None] = lambda _files: None,
) -> Loaded:
    """Read a configuration and all that it names.

    `overrides` are flags, dotted key to YAML text; they win over `BORDERPOST_…` variables of `environ` (the
    process's own by default), which win over the file. Relative paths are resolved against the file's folder,
    wherever they were set. `before_packs` is told which files the packs are in, before any is read, so that they can be
    watched from then on, also where one of them is refused. Raises BorderpostError where the file cannot be read or
    parsed, else Problems.
    """
    config, document, problems = _read(path, overrides, environ)
    base = path.absolute().parent
    candidate = config.shadow.policy.packs if config.shadow.policy is not None else ()
    files = pack_files((*config.policy.packs, *candidate), base)
    before_packs(files + (signature_files(files) if config.pack_signatures.signers else []))
    packs = collect(problems, lambda: _packs(config, base, document))
    bundle = None
    if packs is not None:
        bundle = collect(problems, lambda: _bundle(config, packs, document))
    regions = MappingProxyType({name: _filled(name, spec, config) for name, spec in config.regions.items()})
    names = None if bundle is None else bundle.vocabulary
    events = collect(problems, lambda: load_events(config.events, config.regions, document=document, known=names))
    now_us = World().now_us()
    shadow = None
    if bundle is not None:
        shadow = collect(problems, lambda: load_shadow(config.shadow, bundle, regions, base, document, now_us))
    problems += cross_checks(config, bundle, document)
    if bundle is not None and not problems:
        problems += collect(problems, lambda: own_processor_checks(bundle, regions, document, now_us)) or []
    if problems or bundle is None or events is None:
        raise Problems(problems)
    return Loaded(path.absolute(), config, bundle, regions, events, shadow)


def read_config(path: Path, overrides: Mapping[str, str] | None = None) -> tuple[Config, YamlDocument]:
    """Read a configuration without what it names, for those who need a section of it. Raises as `load_config` does."""
    config, document, problems = _read(path, overrides, None)
    if problems:
        raise Problems(problems)
    return config, document


def _read(
    path: Path, overrides: Mapping[str, str] | None, environ: Mapping[str, str] | None
) -> tuple[Config, YamlDocument, list[BorderpostError]]:
    """Read the file and what lies over it; return the problems of the latter too, for those that follow to join."""
    document = load_yaml_file(path)
    config, problems = read_model(Config, document, path.absolute().parent, overrides, environ, fill=beside_workers)
    return config, document, problems


def _filled(name: str, spec: RegionSpec, config: Config) -> RegionSpec:
    """Return a region with its defaults written out."""
    update: dict[str, Any] = {"cluster": cluster_name(config.istio, name, spec)}
    if spec.retention == "unknown":
        update["retention"] = config.region_defaults.retention
    if spec.telemetry == "unknown":
        update["telemetry"] = config.region_defaults.telemetry
    return spec.model_copy(update=update)


def _packs(config: Config, base: Path, document: YamlDocument) -> list[PolicyPack]:
    return read_packs(config.policy.packs, base, document, pack_signers(config.pack_signatures, document))


def _bundle(config: Config, packs: list[PolicyPack], document: YamlDocument) -> PolicyBundle:
    bundle = build_bundle(
        here=config.here,
        sinks=config.sinks,
        packs=packs,
        policy=config.policy,
        evidence=config.evidence,
        tenants=config.tenants,
        routes=config.routes,
        document=document,
    )
    check_regions(bundle, config.regions, document)
    return bundle
