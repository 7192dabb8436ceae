"""From a path to everything that a gateway decides by: the file, what lies over it, its packs, its events.

Problems are collected through all stages that can still run and raised together, each with its line, so that one
run of `check-config` shows every mistake. Nothing is half loaded: there is a `Loaded` or there are Problems.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from borderpost.config.checks import cross_checks
from borderpost.config.model import Config
from borderpost.config.overrides import apply_flags, apply_variables
from borderpost.policy.bundle import PolicyBundle, build_bundle, built_in_pack, check_regions, read_pack
from borderpost.policy.events import EventList, read_events
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import RegionSpec
from borderpost_base.errors import NOWHERE, BorderpostError, Place, Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import YamlDocument, load_yaml, load_yaml_file

_PACK_ENDINGS = (".yaml", ".yml")

_Result = TypeVar("_Result")
_Section = TypeVar("_Section", bound=BaseModel)


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


def load_config(
    path: Path, overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    """Read a configuration and all that it names.

    `overrides` are flags, dotted key to YAML text; they win over `BORDERPOST_…` variables of `environ` (the
    process's own by default), which win over the file. Relative paths are resolved against the file's folder,
    wherever they were set. Raises BorderpostError where the file cannot be read or parsed, else Problems.
    """
    document = load_yaml_file(path)
    if document.data is None:
        document.data = {}
    problems = apply_variables(document, Config, os.environ if environ is None else environ)
    problems += apply_flags(document, overrides or {})
    config = _collect(problems, lambda: validate(Config, document))
    if config is None:
        raise Problems(problems)
    base = path.absolute().parent
    config = resolved(config, base)
    packs = _read_packs(config, base, document, problems)
    bundle = None
    if packs is not None:
        bundle = _collect(problems, lambda: _bundle(config, packs, document))
    regions = MappingProxyType({name: _filled(name, spec, config) for name, spec in config.regions.items()})
    events = _collect(
        problems, lambda: load_events(config.events.file, config.regions, document.place(("events", "file")))
    )
    problems += cross_checks(config, bundle, document)
    if problems or bundle is None or events is None:
        raise Problems(problems)
    return Loaded(path.absolute(), config, bundle, regions, events)


def _filled(name: str, spec: RegionSpec, config: Config) -> RegionSpec:
    """Return a region with its defaults written out."""
    update: dict[str, Any] = {"cluster": spec.cluster or name}
    if spec.retention == "unknown":
        update["retention"] = config.region_defaults.retention
    if spec.telemetry == "unknown":
        update["telemetry"] = config.region_defaults.telemetry
    return spec.model_copy(update=update)


def load_events(file: Path | None, regions: Iterable[str], place: Place = NOWHERE) -> EventList:
    """Read an events file; without one there are no events.

    `place` is where the file is named. Raises BorderpostError or Problems.
    """
    if file is None:
        return EventList()
    return read_events(_named_file(file, place), regions)


def resolved(model: _Section, base: Path) -> _Section:
    """Return the model with every relative path in it made absolute against a folder."""
    update = {name: _resolved(getattr(model, name), base) for name in type(model).model_fields}
    return model.model_copy(update={name: value for name, value in update.items() if value is not getattr(model, name)})


def _resolved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, BaseModel):
        return resolved(value, base)
    if isinstance(value, dict):
        changed = {key: _resolved(inner, base) for key, inner in value.items()}
        return changed if any(changed[key] is not value[key] for key in value) else value
    return value


def _collect(problems: list[BorderpostError], step: Callable[[], _Result]) -> _Result | None:
    """Run one stage; put what is wrong with it to the problems and return None, so that others can still run."""
    try:
        return step()
    except BorderpostError as error:
        problems.append(error)
    except Problems as several:
        problems.extend(several.errors)
    return None


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


def _read_packs(
    config: Config, base: Path, document: YamlDocument, problems: list[BorderpostError]
) -> list[PolicyPack] | None:
    """Read every pack in order; None if one of them cannot be used, since those after it may build on it."""
    packs: list[PolicyPack] = []
    for index, name in enumerate(config.policy.packs):
        step = functools.partial(_read_pack, name, base, document.place(("policy", "packs", index)), tuple(packs))
        pack = _collect(problems, step)
        if pack is None:
            return None
        packs.append(pack)
    return packs


def _read_pack(name: str, base: Path, place: Place, earlier: Sequence[PolicyPack]) -> PolicyPack:
    return read_pack(_pack_document(name, base, place), earlier)


def _pack_document(name: str, base: Path, place: Place) -> YamlDocument:
    """Return the YAML of a pack: a path if it ends like one, else the name of a built-in pack."""
    if name.endswith(_PACK_ENDINGS):
        return _named_file(base / name, place)
    try:
        pack = built_in_pack(name)
    except BorderpostError as error:
        raise BorderpostError(error.code, error.detail, place=place, mend=error.mend) from error
    return load_yaml(pack.read_bytes(), f"{name} (built in)")


def _named_file(file: Path, place: Place) -> YamlDocument:
    """Read a file that the configuration names; that it cannot be read is shown where it is named."""
    try:
        return load_yaml_file(file)
    except BorderpostError as error:
        if error.code == "BP0003":
            raise BorderpostError(error.code, error.detail, place=place) from error
        raise
