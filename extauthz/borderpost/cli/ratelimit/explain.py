"""`borderpost ratelimit explain`: which rule a descriptor meets, why, and what is left of its limits."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost.cli.ratelimit.options import add_limits, limit_words
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.cli.ratelimit.asking import Answer, Left
    from borderpost_ratelimit.files.book import Book
    from borderpost_ratelimit.files.explaining import Explanation
    from borderpost_ratelimit.rules import Entries

_AWAY = {"allow": "everything passes while the store is away", "refuse": "nothing passes while the store is away"}
"""By `when_store_away`; its default, that a limiter counts for itself, is not told."""


def configure_explain(parser: argparse.ArgumentParser) -> None:
    """Say which rule a descriptor meets and why, what its counters are called, and what is left.

    What is left is asked of a running limiter (`--ask`), which charges nothing for it. Several descriptors are one
    request: a rule that another one replaces is told. Exit 0: each descriptor meets a rule. Exit 1: one meets none.
    Exit 2: the files are mistaken, or the limiter does not answer.
    """
    add_limits(parser)
    parser.add_argument("--domain", metavar="NAME", help="needed where the files have several")
    parser.add_argument(
        "-d", "--descriptor", action="append", required=True, metavar="KEY=VALUE,…", dest="descriptors",
        help="a descriptor's entries in order; `\\,` is a comma in a value; may be given several times",
    )  # fmt: skip
    parser.add_argument("--ask", metavar="URL", help="a limiter's HTTP address, such as http://127.0.0.1:8080")
    parser.add_argument("--token-file", metavar="FILE", help="with the token of its `limiter.admin`")
    parser.add_argument(
        "--key-style", choices=("lengths", "envoyproxy"), default="lengths", help="as in `limiter.key_style`"
    )
    add_json(parser)


def run_explain(arguments: argparse.Namespace, output: Output) -> int:
    """Explain the descriptors of one request."""
    from borderpost.cli.ratelimit.asking import ask_limiter
    from borderpost_ratelimit.files import KeyStyle, load
    from borderpost_ratelimit.files.explaining import explain

    asked = [entries_of(text) for text in arguments.descriptors]
    style = KeyStyle(arguments.key_style)
    book = load(arguments.limits, merge_domains=arguments.merge_domains, key_style=style)
    domain = _domain(arguments.domain, book)
    explained = [explain(book, domain, entries) for entries in asked]
    answer = None
    if arguments.ask is not None:
        answer = ask_limiter(arguments.ask, arguments.token_file, domain, asked)
        if answer.digest != book.digest:
            output.note("the limiter has other limits files than these in force")
    if output.as_json:
        told = [_told(each, _replaced(explained), _left(answer, at, each)) for at, each in enumerate(explained)]
        in_force = {} if answer is None else {"limiter_digest": answer.digest}
        output.result({"domain": domain, "digest": book.digest, **in_force, "descriptors": told})
    else:
        _print(explained, answer, output)
    return CLEAN if all(each.match is not None for each in explained) else FINDINGS


def entries_of(text: str) -> Entries:
    """Read `key=value,key=value`. Raises BorderpostError BP0004."""
    entries = []
    for part in re.split(r"(?<!\\),", text):
        key, sign, value = part.replace("\\,", ",").partition("=")
        if not key or not sign:
            detail = f"`{text}` is not `KEY=VALUE,KEY=VALUE…`"
            raise BorderpostError("BP0004", detail, place=Place("--descriptor"))
        entries.append((key, value))
    return tuple(entries)


def _domain(named: str | None, book: Book) -> str:
    if named is not None:
        return named
    if len(book.domains) != 1:
        detail = f"the files have several domains: {', '.join(sorted(book.domains))}"
        raise BorderpostError("BP0004", detail, place=Place("--domain"), mend="Name one with `--domain`.")
    return next(iter(book.domains))


def _replaced(explained: list[Explanation]) -> set[str]:
    """Return the names of rules that others of the request replace."""
    return {name for each in explained if each.match is not None for name in each.match.rule.replaces}


def _left(answer: Answer | None, at: int, each: Explanation) -> tuple[Left, ...]:
    """Return what is left of each limit of a descriptor's rule; empty where nobody says so of this rule."""
    if answer is None or each.match is None or at >= len(answer.descriptors):
        return ()
    rule, left = answer.descriptors[at]
    fits = rule == each.match.rule.path and len(left) == len(each.match.rule.limits)
    return left if fits else ()


def _told(each: Explanation, replaced: set[str], left: tuple[Left, ...]) -> dict[str, Any]:
    match = each.match
    told: dict[str, Any] = {
        "entries": [{"key": key, "value": value} for key, value in each.entries],
        "steps": [
            {"key": step.key, "value": step.value, "by": step.how.value, "met": step.met}
            | ({"place": step.place} if step.place else {})
            for step in each.steps
        ],
        "rule": None if match is None else match.rule.path,
        "why": each.why,
    }
    if match is not None:
        told["metric"] = match.metric
        told["replaced"] = bool(match.rule.name) and match.rule.name in replaced
        told["limits"] = [
            {"algorithm": limit.algorithm.value, "amount": limit.amount, "window_us": limit.window_us, "counter": key}
            for limit, key in zip(match.rule.limits, match.keys, strict=True)
        ]
        for limit, each_left in zip(told["limits"], left, strict=False):
            limit["left"] = each_left._asdict()
    return told


def _print(explained: list[Explanation], answer: Answer | None, output: Output) -> None:
    replaced = _replaced(explained)
    for at, each in enumerate(explained):
        if at:
            output.data("")
        output.data(", ".join(f"{key}={value}" for key, value in each.entries))
        for step in each.steps:
            met = f"`{step.met}` by {step.how.value} ({step.place})" if step.met else step.how.value
            output.data(f"  {step.key}={step.value} meets {met}")
        match = each.match
        if match is None:
            output.data(f"  {output.paint('no rule', 'yellow', stream=output.stdout)}: {each.why}")
            continue
        output.data(f"  rule     {output.paint(match.rule.path, 'bold', stream=output.stdout)}")
        if match.rule.name and match.rule.name in replaced:
            output.data(
                f"  replaced another rule of this request replaces `{match.rule.name}`: this one does not count"
            )
        output.data(f"  effect   {each.why}")
        if match.metric != match.rule.path:
            output.data(f"  metric   {match.metric}")
        left = _left(answer, at, each)
        for number, (limit, key) in enumerate(zip(match.rule.limits, match.keys, strict=True)):
            output.data(f"  limit    {limit_words(limit)}")
            if limit.when_away.value in _AWAY:
                output.data(f"  away     {_AWAY[limit.when_away.value]}")
            output.data(f"  counter  {key}")
            if left:
                output.data(f"  left     {left[number].words}")
