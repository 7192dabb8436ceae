"""Questions in JSON, right and wrong, as they can be posted to `/json`."""

from __future__ import annotations

from support.ratelimit_corpus import Asked, Descriptor, Run
from support.ratelimit_traffic import BEGIN_S

FILE = """\
domain: shop
descriptors:
  - key: tenant
    rate_limit: {unit: hour, requests_per_unit: 3}
  - key: tenant
    value: Straße
    rate_limit: {unit: day, requests_per_unit: 2, name: street}
  - key: free
    rate_limit: {unlimited: true}
"""
RUN = Run({}, {"shop.yaml": FILE}, [Asked(BEGIN_S, "nowhere", (Descriptor((("sets", "the clock"),)),))])


def _asks(*descriptors: str, more: str = "") -> str:
    return f'{{"domain": "shop", "descriptors": [{", ".join(descriptors)}]{more}}}'


def _tenant(value: str = '"a"', more: str = "") -> str:
    return f'{{"entries": [{{"key": "tenant", "value": {value}}}]{more}}}'


BODIES: tuple[str, ...] = (
    _asks(_tenant()),
    _asks(_tenant('"Straße"')),
    _asks(_tenant('"Stra\\u00dfe"')),
    _asks('{"entries": [{"key": "free"}]}', _tenant('"b"'), _tenant('"b"')),
    _asks(_tenant('"c"'), more=', "hitsAddend": 2'),
    _asks(_tenant('"c"'), more=', "hits_addend": 2'),
    _asks(_tenant('"d"'), more=', "hitsAddend": "2"'),
    _asks(_tenant('"d"'), more=', "hitsAddend": 2.0'),
    _asks(_tenant('"d"'), more=', "hitsAddend": 2.5'),
    _asks(_tenant('"d"'), more=', "hitsAddend": -1'),
    _asks(_tenant('"d"'), more=', "hitsAddend": null'),
    _asks(_tenant('"e"', ', "hitsAddend": "4"')),
    _asks(_tenant('"e"', ', "hitsAddend": 0')),
    _asks(_tenant('"e"', ', "hitsAddend": {"value": 4}')),
    _asks(_tenant('"f"', ', "limit": {"requestsPerUnit": 1, "unit": "MINUTE"}')),
    _asks(_tenant('"f"', ', "limit": {"requests_per_unit": 1, "unit": 2}')),
    _asks(_tenant('"f"', ', "limit": {"requestsPerUnit": 1, "unit": "minute"}')),
    _asks(_tenant('"f"', ', "limit": {"requestsPerUnit": 1, "unit": "FORTNIGHT"}')),
    _asks(_tenant("7")),
    _asks(_tenant("null")),
    _asks(_tenant("true")),
    _asks(_tenant('""')),
    _asks(_tenant('"\\ud800"')),
    _asks('{"entries": [{"key": "tenant", "value": "g", "colour": "red"}]}'),
    _asks('{"entries": {"key": "tenant", "value": "g"}}'),
    _asks("null"),
    _asks(),
    '{"domain": "shop", "domain": "shop", "descriptors": [' + _tenant() + "]}",
    '{"domain": "", "descriptors": [' + _tenant() + "]}",
    '{"domain": 7, "descriptors": [' + _tenant() + "]}",
    '{"domain": "elsewhere", "descriptors": [' + _tenant() + "]}",
    "{}",
    "[]",
    "null",
    "",
    "domain: shop",
    _asks(_tenant())[:-1],
    _asks(_tenant()) + " ",
    _asks(_tenant()) + "x",
    "\ufeff" + _asks(_tenant()),
    _asks(_tenant()).replace('"', "'"),
    _asks(_tenant(), more=", "),
)  # fmt: skip
