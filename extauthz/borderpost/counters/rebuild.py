"""The count made from the audit log: every decision that routes on a counted basis, in the month of its instant."""

from __future__ import annotations

from pathlib import Path

from borderpost.answers import Route
from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import parse_stamp
from borderpost.audit.reader import read_log
from borderpost.audit.segment import INPUTS_NAME
from borderpost.catalog import Catalog
from borderpost.counters.windows import month_at
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.recorded_decision import answer_of
from borderpost_base.world import World


def counts_of(log: Path, world: World) -> tuple[dict[str, int], int]:
    """Return what the decisions of a log come to, by `counter/month`, and how many of them counted.

    Each is judged by the policy that its record names. Raises BorderpostError: BP0408 for what is no log, BP0407 where
    a policy is missing or altered.
    """
    store = InputStore(log if (log / INPUTS_NAME).is_dir() else log.absolute().parent, world)
    policies: dict[tuple[str, str], CompiledPolicy] = {}
    counts: dict[str, int] = {}
    records = 0
    for located in read_log(log):
        record = located.record
        if record["type"] != "decision" or record["out"]["action"] != "route":
            continue
        if record["mode"] == "observe":
            continue  # it went its own way: nobody used a basis of ours
        key = (record["inputs"]["policy"], record["inputs"]["catalog"])
        if key not in policies:
            bundle = PolicyBundle.from_canonical(store.get(key[0]))
            policies[key] = compile_policy(bundle, Catalog.from_canonical(store.get(key[1])).regions)
        policy = policies[key]
        answer = answer_of(record)
        counted = policy.counted(answer.rules) if isinstance(answer, Route) else ()
        records += bool(counted)
        for counter_id in counted:
            name = f"{counter_id}/{month_at(policy.counters[counter_id], parse_stamp(record['ts'])).name}"
            counts[name] = counts.get(name, 0) + 1
    return counts, records
