"""One form for one content: `formatted`, which proves that what it returns says the same as what it was given."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from borderpost.yaml_layout.comments import attach_comments, find_comments
from borderpost.yaml_layout.order import Schema, codes_sorted, order_keys, sort_codes
from borderpost.yaml_layout.tree import parse
from borderpost.yaml_layout.writing import written
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.yaml_source import load_yaml


def formatted(raw: bytes, file: str, schema: Schema | None = None, *, sort: bool = False) -> str:
    """Return a YAML file in its one form.

    `schema` is the JSON Schema whose order of keys holds; without one every key stays where it is. `sort` sorts the
    codes of groups too. `file` is the name to show in errors. Raises BorderpostError BP0101, BP0104, BP0105 or BP0106
    for what cannot be read, BP1260 for JSON, BP1261 if the result would not say the same.
    """
    before = load_yaml(raw, file).data
    text = raw.decode("utf-8-sig")
    if before and text.lstrip()[:1] == "{" and _is_json(text):
        raise BorderpostError("BP1260", "it is JSON", place=Place(file))
    document = parse(text)
    comments = Counter(comment.text for comment in find_comments(document))
    attach_comments(document)
    if schema is not None:
        order_keys(document, schema)
    if sort:
        sort_codes(document)
        before = codes_sorted(before)
    result = written(document)
    _check(result, before, comments, file, sort=sort)
    return result


def _check(result: str, before: Any, comments: Counter[str], file: str, *, sort: bool) -> None:
    """Read the result as any other file and compare. Raises BorderpostError BP1261."""
    try:
        after = load_yaml(result.encode(), file).data
        kept = Counter(comment.text for comment in find_comments(parse(result)))
    except BorderpostError as error:
        raise BorderpostError("BP1261", "the formatted file could not be read", place=error.place) from error
    if not same(before, codes_sorted(after) if sort else after):
        raise BorderpostError("BP1261", "the formatted file would say something else", place=Place(file))
    if kept != comments:
        lost = next(iter((comments - kept) | (kept - comments)))
        raise BorderpostError("BP1261", f"the formatted file would not keep `{lost}`", place=Place(file))


def same(one: Any, other: Any) -> bool:
    """Return True if two readings are equal in value and type: 1, 1.0 and true are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # so that NaN equals itself, and 0.0 does not equal -0.0


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
