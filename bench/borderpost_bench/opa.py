"""OPA-Envoy as a rival: what it is given, how Envoy asks it, and what its decision log adds up to.

It runs in the form in which people use it: OPA's own runtime and plugin, a Rego policy, the law as data, the
decision log on the console. What it is spared stands beside its figures (`note` of its scenarios).
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from borderpost_base.names import CLUSTER_HEADER
from borderpost_bench.bootstraps import managers
from borderpost_bench.check import LogCount
from borderpost_bench.rivals import OPA_SOURCE, law_table, opa_program
from borderpost_bench.traffic import COUNTRY_HEADER

_DEFAULT_CLASS = "personal"


def opa_command(directory: Path) -> list[str]:
    """Return the command that runs it, without where it listens; writes the law beside. Raises RivalUnavailable."""
    program, table = opa_program(), directory / "law.json"
    table.write_text(json.dumps({"table": law_table(here="DE-HE")}))
    return [str(program), "-policy", str(OPA_SOURCE / "decision.rego"), "-table", str(table)]


def opa_bootstrap(rendered: dict[str, Any]) -> dict[str, Any]:
    """Return the rendered ext_authz bootstrap as OPA needs it: headers as a map, and the country among them.

    Raises ValueError if the bootstrap has no ext_authz filter of ours.
    """
    changed = copy.deepcopy(rendered)
    found = [
        one["typed_config"]
        for manager in managers(changed)
        for one in manager["http_filters"]
        if one["typed_config"]["@type"].endswith(".ExtAuthz")
    ]
    if not found:
        raise ValueError("no ext_authz filter in this bootstrap")
    for authz in found:
        authz.pop("encode_raw_headers", None)
        authz["allowed_headers"]["patterns"].append({"exact": COUNTRY_HEADER})
    return changed


def count_console(log: Path) -> LogCount:
    """Count the decisions in OPA's decision log, by what each was asked and what it said."""
    count = LogCount()
    with log.open("rb") as lines:
        for line in lines:
            told = json.loads(line)
            if "decision_id" in told:
                count.add(_as_record(told), len(line))
    return count


def _as_record(told: dict[str, Any]) -> dict[str, Any]:
    """Return what one line of the decision log says in the terms of our records."""
    headers, result = told["input"]["attributes"]["request"]["http"]["headers"], told["result"]
    evidence = [{"src": "geoip", "val": headers[COUNTRY_HEADER]}]
    if "x-data-residency" in headers:
        evidence.append({"src": "header", "val": headers["x-data-residency"]})
    out = (
        {"action": "route", "r": result["headers"][CLUSTER_HEADER]}
        if result["allowed"]
        else {"action": "refuse", "reason": "not-allowed"}
    )
    classes = sorted({_DEFAULT_CLASS, headers.get("x-data-class", _DEFAULT_CLASS)})
    return {"jur": {"evidence": evidence}, "class": classes, "out": out}
