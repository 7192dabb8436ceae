"""Results of tests as JUnit XML, which every CI system reads.

The form is that of Ant's task as CI systems take it: `testsuites`, a `testsuite` for each file, a `testcase` for each
case, with a `failure` where one is not as expected. No schema is normative.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have (section 2.2)."""


class Result(NamedTuple):
    """One case as it came out."""

    group: str
    name: str
    line: int
    """Line of its file."""
    failure: str | None
    """What is not as expected, in lines; None if all is."""


def junit_xml(suites: Mapping[str, Sequence[Result]]) -> bytes:
    """Return the document for results by file."""
    root = ElementTree.Element("testsuites", _counted([one for results in suites.values() for one in results]))
    for file, results in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": _text(file), **_counted(results)})
        for result in results:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                {
                    "classname": _text(result.group or file),
                    "name": _text(result.name),
                    "file": _text(file),
                    "line": str(result.line),
                    "time": "0",
                },
            )
            if result.failure is not None:
                message = _text(result.failure.partition("\n")[0])
                failure = ElementTree.SubElement(case, "failure", {"message": message, "type": "unmet"})
                failure.text = _text(result.failure)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counted(results: Sequence[Result]) -> dict[str, str]:
    failures = sum(result.failure is not None for result in results)
    return {"tests": str(len(results)), "failures": str(failures), "errors": "0", "skipped": "0", "time": "0"}


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
