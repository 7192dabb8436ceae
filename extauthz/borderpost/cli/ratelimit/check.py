"""`borderpost ratelimit check`: limits files, before a limiter loads them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, counted
from borderpost.cli.ratelimit.options import add_limits, limit_words
from borderpost.cli.reporting import add_format, choose, write_report
from borderpost_base.errors import BorderpostError

if TYPE_CHECKING:
    from borderpost_ratelimit.files.book import Book
    from borderpost_ratelimit.rules import Rule


def configure_check(parser: argparse.ArgumentParser) -> None:
    """Say what is wrong with limits files, and what in them will never be met or has no effect.

    Both formats are read: envoyproxy/ratelimit's as it is, and our own. Mistakes are told with line and the nearest
    known key; `--rules` lists what the files amount to. Exit 0: they can be loaded. Exit 1: mistakes, or with
    `--fail-on warning` warnings. Exit 2: a file could not be read.
    """
    add_limits(parser)
    parser.add_argument("--rules", action="store_true", help="list the rules")
    parser.add_argument(
        "--fail-on", choices=("error", "warning"), default="error", help="the least level that exits with 1"
    )
    add_format(parser)


def run_check(arguments: argparse.Namespace, output: Output) -> int:
    """Check the files."""
    from borderpost.reports.finding import Level, findings_of
    from borderpost_ratelimit.files.loading import check_files

    report = choose(arguments, output)
    checked = check_files(arguments.limits, merge_domains=arguments.merge_domains)
    errors, warnings, book = checked.errors, checked.book.findings, checked.book
    if report in ("sarif", "github"):
        write_report([*findings_of(errors), *findings_of(warnings, Level.WARNING)], report, output)
    elif report == "json":
        output.result(_told(book, errors, arguments.rules))
    else:
        if errors:
            output.errors(errors)
        else:
            _print(book, arguments.rules, output)
        output.warnings(warnings)
    if any(error.code == "BP0003" for error in errors):
        return COULD_NOT_RUN
    return FINDINGS if errors or (warnings and arguments.fail_on == "warning") else CLEAN


def _told(book: Book, errors: tuple[BorderpostError, ...], rules: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "errors": [error.as_dict() for error in errors],
        "warnings": [warning.as_dict() for warning in book.findings],
        "files": list(book.files),
        "domains": sorted(book.domains),
        "rules": len(book.rules),
        "digest": book.digest,
    }
    if rules:
        told["rule_list"] = [_rule(rule) for rule in book.rules]
    return told


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.path,
        "limits": [
            {
                "algorithm": limit.algorithm.value,
                "amount": limit.amount,
                "window_us": limit.window_us,
                "binding": limit.binding,
                "scope": limit.scope.value,
                "when_store_away": limit.when_away.value,
            }
            for limit in rule.limits
        ],
        "unlimited": rule.unlimited,
        "shadow_mode": rule.shadow,
        "quota_mode": rule.quota,
        "name": rule.name,
        "replaces": list(rule.replaces),
    }


def _print(book: Book, rules: bool, output: Output) -> None:
    order = output.paint("in order", "green", stream=output.stdout)
    output.data(f"{counted(len(book.files), 'file')}: {order}")
    output.data(f"  domains  {', '.join(sorted(book.domains))}")
    output.data(f"  rules    {len(book.rules):,}")
    if rules:
        output.data("")
        output.table(("rule", "limit", "mode"), [(rule.path, _limits(rule), _mode(rule)) for rule in book.rules])


def _limits(rule: Rule) -> str:
    return "unlimited" if rule.unlimited else "; ".join(limit_words(limit) for limit in rule.limits)


def _mode(rule: Rule) -> str:
    return ", ".join(word for word, on in (("shadow", rule.shadow), ("quota", rule.quota)) if on)
