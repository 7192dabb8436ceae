"""Every bound of the product, with its unit and the reason for its value.

A limit has one home, here; code imports the constant, the docs' table is made from `LIMITS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound."""

    name: str
    value: int
    unit: str
    reason: str


LIMITS: dict[str, Limit] = {}
"""Every limit by name, in order of registration."""


def _limit(name: str, value: int, unit: str, reason: str) -> int:
    if name in LIMITS:
        raise ValueError(f"limit {name} is registered twice")
    LIMITS[name] = Limit(name, value, unit, reason)
    return value


YAML_BYTES_MAX = _limit("yaml_bytes_max", 8 << 20, "bytes", "a policy of 10,000 entries is about 1 MiB")
YAML_DEPTH_MAX = _limit("yaml_depth_max", 64, "levels", "our deepest schema has 12 levels")
YAML_NODES_MAX = _limit(
    "yaml_nodes_max", 500_000, "nodes", "counted after aliases expand, so an anchor bomb stops here"
)
YAML_INTEGER_DIGITS_MAX = _limit("yaml_integer_digits_max", 40, "digits", "no setting is beyond 2^64, which has 20")
HEADER_VALUE_BYTES_MAX = _limit(
    "header_value_bytes_max",
    256,
    "bytes",
    "longest value of any header we read; country, class, tenant and model names are short",
)
REQUEST_ID_BYTES_MAX = _limit("request_id_bytes_max", 128, "bytes", "Envoy's own request ids have 36")
DATA_CLASSES_MAX = _limit("data_classes_max", 16, "classes a request", "one request names a handful")
JWT_CLAIM_BYTES_MAX = _limit("jwt_claim_bytes_max", 256, "bytes", "a claim is a country or tenant name")
SAN_COUNT_MAX = _limit("san_count_max", 16, "names a certificate", "a client certificate carries one or two")
REQUEST_MESSAGE_BYTES_MAX = _limit(
    "request_message_bytes_max", 1 << 20, "bytes", "Envoy's own header limit is 60 KiB; metadata may add to it"
)
RECORD_BYTES_MAX = _limit(
    "record_bytes_max", 16 << 10, "bytes", "tlog-tiles bounds an entry at 65,535; ours stay readable"
)
RUNNERS_UP_MAX = _limit("runners_up_max", 8, "regions a record", "the rest is counted by reason and rebuilt by replay")
REGIONS_MAX = _limit("regions_max", 1000, "regions", "legal sets are bit masks; beyond this a catalogue is a mistake")
REMEMBERED_FACTS_MAX = _limit(
    "remembered_facts_max", 65_536, "entries", "bounds the memo against floods of distinct facts"
)
REMEMBERED_ADDRESSES_MAX = _limit(
    "remembered_addresses_max", 65_536, "entries", "bounds the GeoIP memo against floods of addresses"
)
WORKERS_MAX = _limit("workers_max", 64, "processes", "one a core is enough")
METRIC_LABEL_VALUES_MAX = _limit(
    "metric_label_values_max", 1000, "values a label", "further values are counted as `other`"
)
