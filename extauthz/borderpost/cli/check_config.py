"""Say what is wrong with a configuration: the file, its packs, its events, and how they fit together.

Every mistake is told at once, with its line, and the files of GeoIP are opened; `--format sarif` and `--format github`
tell mistakes and warnings to code scanning and pull requests. Exit 0: it can be served, with warnings on stderr.
Exit 1: mistakes were found. Exit 2: the file could not be read.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from borderpost.cli.events.names import unknown_names
from borderpost.cli.options import add_config, config_path, load
from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, errors_of
from borderpost.cli.reporting import add_format, choose, write_report
from borderpost.config.observe import observe_warning
from borderpost.limiter.limits_watch import limits_of
from borderpost.reports.finding import Level, findings_of
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.world import World

if TYPE_CHECKING:
    from borderpost.geoip import GeoipSpec
    from borderpost.policy.schema import RegionSpec


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    add_format(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Load the configuration as `serve` would; print what it amounts to, or what is wrong."""
    report = choose(arguments, output)
    try:
        loaded = load(arguments)
        warnings = [*_look_at_geoip(loaded.config.geoip), *_unknown_locations(loaded.regions)]
        observed = observe_warning(loaded.config.observe, bodies_read=loaded.config.payload.read)
        warnings += [observed] if observed is not None else []
        if loaded.config.limiter is not None:
            warnings += limits_of(loaded.config.limiter).findings
        if loaded.events.file.length:  # of a signed list, which others may read too; in a plain file they are errors
            place = Place(str(loaded.config.events.file))
            warnings += unknown_names(loaded.events.events, loaded, place)
    except (BorderpostError, Problems) as error:
        errors = errors_of(error)
        if report in ("sarif", "github"):
            write_report(list(findings_of(errors)), report, output)
        else:
            output.errors(errors)
        return COULD_NOT_RUN if any(found.code in {"BP0003", "BP0004"} for found in errors) else FINDINGS
    if report in ("sarif", "github"):
        write_report(list(findings_of(warnings, Level.WARNING)), report, output)
        return CLEAN
    summary = {
        "file": str(config_path(arguments)),
        "regions": sorted(loaded.regions),
        "regimes": len(loaded.bundle.regimes),
        "events": len(loaded.events.events),
        "policy_digest": loaded.bundle.digest,
        "events_digest": loaded.events.digest,
        "shadow_digest": loaded.shadow.digest if loaded.shadow is not None else None,
        "observed_routes": sorted(loaded.config.observe.routes),
        "drills": sum(event.mode == "drill" for event in loaded.events.events),
    }
    if output.as_json:
        output.result({"errors": [], "warnings": [warning.as_dict() for warning in warnings], **summary})
    else:
        regions = ", ".join(sorted(loaded.regions))
        output.data(f"{summary['file']}: {output.paint('in order', 'green', stream=output.stdout)}")
        output.data(f"  regions  {regions}")
        output.data(f"  policy   {summary['regimes']} regimes, digest {loaded.bundle.digest}")
        output.data(f"  events   {summary['events']}")
        if loaded.shadow is not None:
            output.data(f"  shadow   {len(loaded.shadow.regimes)} regimes, digest {loaded.shadow.digest}")
        elif summary["drills"]:
            output.data(f"  shadow   the same policy with {summary['drills']} drills")
        if summary["observed_routes"]:
            output.data(f"  observed {', '.join(loaded.config.observe.routes)}: no law is kept on these routes")
        output.warnings(warnings)
    return CLEAN


def _look_at_geoip(spec: GeoipSpec) -> list[BorderpostError]:
    """Open the databases as a worker would (raises BP03xx) and return what is to be warned of."""
    from borderpost.geoip import Anonymisers, GeoDatabase

    database, anonymisers = GeoDatabase.of(spec), Anonymisers.open(spec.anonymisers)
    now_us = World().now_us()
    old = [file.too_old(spec.max_age_days, now_us) for file in (database, *anonymisers.databases)]
    database.close()
    anonymisers.close()
    return [warning for warning in old if warning is not None]


def _unknown_locations(regions: Mapping[str, RegionSpec]) -> list[BorderpostError]:
    """Return a warning for each location of which nobody says where it is."""
    return [
        BorderpostError("BP0110", f"`{name}` does not say its {key}", place=Place(key=f"regions.{name}.{key}"))
        for name, spec in regions.items()
        for key in ("retention", "telemetry")
        if getattr(spec, key) == "unknown"
    ]
