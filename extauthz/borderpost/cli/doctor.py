"""Find what leaks: in what an Envoy runs with, in a bootstrap, in Istio's and Kubernetes' YAML.

    borderpost doctor --admin 127.0.0.1:15000            what runs (also --dump FILE, --bootstrap FILE)
    borderpost doctor --config borderpost.yaml k8s/      what would be applied; folders of YAML, `kubectl get -o yaml`

With `--config` the doctor knows which clusters are regions; without it, it goes by what Borderpost's own filter and
routes name. Exit 0: nothing at the level of `--fail-on`. Exit 1: findings. Exit 2: something could not be examined.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, counted
from borderpost.cli.reporting import add_format, choose, fails, print_findings, summed, write_report
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.model import Config
    from borderpost.reports.finding import Finding, Rule
    from borderpost_envoy.doctor import Configuration, Source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="Kubernetes YAML: files, folders, or -")
    parser.add_argument(
        "--admin", action="append", default=[], metavar="ADDRESS",
        help="Envoy's admin address on this machine: host:port, a URL, or the path of a Unix socket; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--dump", action="append", default=[], type=Path, metavar="FILE",
        help="what an admin address's /config_dump?include_eds said, or - for standard input; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--bootstrap", action="append", default=[], type=Path, metavar="FILE",
        help="an Envoy bootstrap, YAML or JSON; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="Borderpost's configuration, which knows the regions"
    )
    parser.add_argument("--select", action="append", default=[], metavar="CODES", help="only these rules")
    parser.add_argument("--ignore", action="append", default=[], metavar="CODES", help="none of these rules")
    parser.add_argument(
        "--suppressions", type=Path, metavar="FILE", help="accepted findings, each with its reason (YAML)"
    )
    parser.add_argument(
        "--fail-on", choices=("error", "warning", "note"), default="error", help="the least level that exits with 1"
    )
    parser.add_argument("--list", action="store_true", dest="listing", help="list the rules")
    parser.add_argument("--explain", metavar="CODE", help="say what a rule means, why it leaks and how to mend it")
    add_format(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Examine what was named."""
    report = choose(arguments, output)
    rules = _rules()
    if arguments.listing:
        return _list(rules, output)
    if arguments.explain is not None:
        (name,) = _named("--explain", [arguments.explain], rules) or ("",)
        return _explain(rules[name], output)
    select, ignore = _named("--select", arguments.select, rules), _named("--ignore", arguments.ignore, rules)
    findings, errors, examined = _examined(arguments)
    findings = [one for one in findings if (not select or one.rule.id in select) and one.rule.id not in ignore]
    if arguments.suppressions is not None:
        from borderpost_envoy.doctor.suppressions import Suppressions

        accepted = Suppressions.from_file(arguments.suppressions, rules)
        findings = accepted.kept(findings)
        output.warnings(accepted.unused())
    _tell(findings, errors, examined, report, output)
    if errors:
        return COULD_NOT_RUN
    return FINDINGS if fails(findings, arguments.fail_on) else CLEAN


def _rules() -> Mapping[str, Rule]:
    from borderpost_envoy.doctor import RULES as OF_ENVOY
    from borderpost_istio.doctor.rules import RULES as OF_OBJECTS

    return {**OF_ENVOY, **OF_OBJECTS}


def _named(option: str, given: Iterable[str], rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Return ids of rules, of which several may be parted by commas. Raises BorderpostError BP1506 for an unknown."""
    names = tuple(part.upper() for text in given for part in text.replace(",", " ").split())
    for name in names:
        if name not in rules:
            raise BorderpostError("BP1506", f"`{name}` is no rule", place=Place(option))
    return names


def _examined(arguments: argparse.Namespace) -> tuple[list[Finding], list[BorderpostError], int]:
    """Return findings, what could not be read, and how many inputs were examined."""
    from borderpost_envoy.doctor import UNKNOWN, examine, expected_of, in_order

    count = len(arguments.admin) + len(arguments.dump) + len(arguments.bootstrap) + len(arguments.paths)
    if not count:
        raise BorderpostError("BP1508", "no --admin, --dump, --bootstrap or PATH was given")
    config = _config(arguments)
    running, errors = _running(arguments)
    expected = UNKNOWN if config is None else expected_of(config)
    findings = [finding for one in running for finding in examine(one, expected)]
    if arguments.paths:
        from borderpost_istio.doctor import examine as examine_objects

        found, unread = examine_objects(arguments.paths, config=config, running=running)
        findings += found
        errors += unread
    return in_order(findings), errors, count - len(errors)


def _config(arguments: argparse.Namespace) -> Config | None:
    if arguments.config is None:
        return None
    from borderpost.config.load import load_config

    return load_config(arguments.config, {}).config


def _running(arguments: argparse.Namespace) -> tuple[list[Configuration], list[BorderpostError]]:
    """Read every configuration of Envoy that was named, and go on where one cannot be."""
    from borderpost_envoy.doctor import read_admin, read_configuration, read_file

    reading: list[Callable[[], Source]] = [partial(read_admin, address) for address in arguments.admin]
    reading += [partial(read_file, path) for path in (*arguments.dump, *arguments.bootstrap)]
    running: list[Configuration] = []
    errors: list[BorderpostError] = []
    for read in reading:
        try:
            running.append(read_configuration(read()))
        except BorderpostError as error:
            errors.append(error)
    return running, errors


def _tell(
    findings: Sequence[Finding], errors: Sequence[BorderpostError], examined: int, report: str, output: Output
) -> None:
    from borderpost.reports.finding import findings_of

    if report in ("sarif", "github"):
        write_report([*findings_of(errors), *findings], report, output)
    elif report == "json":
        told = [one.as_dict() | {"link": _link(one.rule)} for one in findings]
        output.result({"examined": examined, "findings": told, "errors": [error.as_dict() for error in errors]})
    else:
        print_findings(findings, output)
        if errors:
            output.errors(errors)
            output.note("")
        output.data(f"{counted(examined, 'input')} examined: {summed(findings)}")


def _list(rules: Mapping[str, Rule], output: Output) -> int:
    if output.as_json:
        output.result({"rules": [_described(rule) for rule in rules.values()]})
    else:
        rows = [(rule.id, rule.level.value, rule.title) for rule in rules.values()]
        output.table(("Code", "Level", "What it finds"), rows)
    return CLEAN


def _explain(rule: Rule, output: Output) -> int:
    if output.as_json:
        output.result({"rule": _described(rule)})
        return CLEAN
    output.data(f"{output.paint(rule.id, 'bold', stream=output.stdout)} ({rule.level}): {rule.title}")
    for text in (rule.why, f"mend: {rule.mend}", f"more: {_link(rule)}"):
        output.data("")
        output.data(text)
    return CLEAN


def _described(rule: Rule) -> dict[str, str]:
    return {
        "rule": rule.id,
        "level": rule.level.value,
        "title": rule.title,
        "why": rule.why,
        "mend": rule.mend,
        "link": _link(rule),
    }


def _link(rule: Rule) -> str:
    from borderpost_envoy.doctor.checks import section_of

    return section_of(rule)
