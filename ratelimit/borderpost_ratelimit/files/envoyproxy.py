"""envoyproxy/ratelimit's configuration format, as src/config/config_impl.go reads it (at f2fb157, July 2026).

The keys are a fixed set, wherever they stand: one that is known but out of place is passed over there, so it is here,
and told as a finding. Scalars mean what YAML 1.1 makes of them (`go_scalars`), and `<<` merges. Differences, each
because what it says there is probably not meant: a mapping that names one key twice is refused (there the last wins),
so are tags such as `!!str`.
"""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from borderpost_base.errors import BorderpostError
from borderpost_base.yaml_source import KeyPath, YamlDocument
from borderpost_ratelimit.files.descriptors import Descriptor, DomainFile, RuleText
from borderpost_ratelimit.files.go_scalars import GoScalar, go_scalar
from borderpost_ratelimit.files.struct_values import struct_of
from borderpost_ratelimit.files.units import near_unit, unit_of
from borderpost_ratelimit.limits import Algorithm, Limit, Unit, WhenAway

ROOT_KEYS = frozenset({"domain", "descriptors"})
DESCRIPTOR_KEYS = frozenset(
    {
        "key", "value", "rate_limit", "descriptors", "shadow_mode", "quota_mode", "detailed_metric", "value_to_metric",
        "share_threshold", "metadata",
    }
)  # fmt: skip
LIMIT_KEYS = frozenset({"requests_per_unit", "unit", "unlimited", "name", "replaces"})
KNOWN_KEYS = ROOT_KEYS | DESCRIPTOR_KEYS | LIMIT_KEYS
_AMOUNT_MAX = 2**32 - 1
"""`requests_per_unit` is a uint32."""


class _Value(NamedTuple):
    """Data and where it stands."""

    data: Any
    path: KeyPath


_Fields = dict[str, _Value]


def read_envoyproxy(
    document: YamlDocument, when_away: WhenAway, errors: list[BorderpostError], findings: list[BorderpostError]
) -> DomainFile | None:
    """Return what the document says; None, and at least one more of `errors`, where it cannot be read.

    The document must have been read with `keep_plain`.
    """
    reader = _Reader(document, when_away, errors, findings)
    known = len(errors)
    file = reader.read()
    return file if len(errors) == known else None


class _Reader:
    """Reads one document."""

    def __init__(
        self,
        document: YamlDocument,
        when_away: WhenAway,
        errors: list[BorderpostError],
        findings: list[BorderpostError],
    ) -> None:
        self._document = document
        self._when_away = when_away
        self._errors = errors
        self._findings = findings
        self._domain = ""

    def read(self) -> DomainFile | None:
        data = {} if self._document.data is None else self._document.data
        if not isinstance(data, dict):
            self._refuse((), "a limits file is a mapping with `domain` and `descriptors`")
            return None
        fields = self._fields(_Value(data, ()), ROOT_KEYS)
        path = fields["domain"].path if "domain" in fields else ()
        self._domain = self._needed(
            fields, "domain", BorderpostError("BP1602", "no domain is set", place=self._document.place(path))
        )
        descriptors = self._descriptors(fields)
        return DomainFile(self._document.place(()), self._domain, descriptors, when_away=self._when_away)

    def _fields(self, value: _Value, wanted: frozenset[str]) -> _Fields:
        """Return a mapping's fields by name, merges done, in the order in which yaml.v2 does them: as they stand."""
        fields: _Fields = {}
        for key, item in value.data.items():
            path = (*value.path, key)
            if key == "<<":
                for merged in self._merged(_Value(item, path)):
                    self._put(fields, self._fields(merged, wanted))
                continue
            if key not in KNOWN_KEYS:
                near = difflib.get_close_matches(key, wanted, n=1, cutoff=0.5)
                mend = f"did you mean `{near[0]}`?" if near else f"known keys here: {', '.join(sorted(wanted))}"
                place = self._document.place(path)
                self._errors.append(BorderpostError("BP0102", f"`{key}` is not known here", place=place, mend=mend))
                continue
            if key not in wanted:
                self._out_of_place(key, path)
                self._screen(_Value(item, path))
                continue
            self._put(fields, {key: _Value(item, path)})
        return fields

    def _merged(self, value: _Value) -> list[_Value]:
        """Return the mappings that `<<` names, the one that wins last."""
        items = value.data if isinstance(value.data, list) else [value.data]
        in_list = isinstance(value.data, list)
        found = []
        for index, item in enumerate(items):
            path = (*value.path, index) if in_list else value.path
            if isinstance(item, dict):
                found.append(_Value(item, path))
            else:
                self._refuse(path, "`<<` merges a mapping, or a list of mappings")
        return found[::-1]

    def _put(self, fields: _Fields, more: _Fields) -> None:
        """Set fields over those that are there; of a second `rate_limit` only what it says, as yaml.v2 does, which
        writes both into one struct."""
        for key, value in more.items():
            before = fields.get(key)
            if key == "rate_limit" and before is not None and isinstance(value.data, dict | tuple):
                value = _Value((*_layers(before), *_layers(value)), value.path)
            fields[key] = value

    def _out_of_place(self, key: str, path: KeyPath) -> None:
        if key in ROOT_KEYS - DESCRIPTOR_KEYS:
            home = "stands at the top of the file"
        elif key in DESCRIPTOR_KEYS:
            home = "belongs to a descriptor, beside its `key`"
        else:
            home = "belongs into `rate_limit`"
        place = self._document.place(path)
        self._findings.append(BorderpostError("BP1613", f"`{key}` has no effect here: it {home}", place=place))

    def _screen(self, value: _Value) -> None:
        """Refuse in what is passed over all that envoyproxy/ratelimit refuses anywhere."""
        data, path = value
        if isinstance(data, dict):
            for key, item in data.items():
                if key in KNOWN_KEYS and key != "metadata":
                    self._screen(_Value(item, (*path, key)))
                elif key != "metadata":
                    place = self._document.place((*path, key))
                    self._errors.append(BorderpostError("BP0102", f"`{key}` is not known here", place=place))
        elif isinstance(data, list):
            for index, item in enumerate(data):
                if isinstance(item, dict):
                    self._screen(_Value(item, (*path, index)))
                else:
                    self._refuse((*path, index), "a list holds mappings only")
        else:
            self._scalar(value)

    def _descriptors(self, fields: _Fields) -> tuple[Descriptor, ...]:
        value = fields.get("descriptors")
        if value is None or self._is_null(value):
            return ()
        if not isinstance(value.data, list):
            self._refuse(value.path, "`descriptors` is a list")
            return ()
        found = []
        for index, item in enumerate(value.data):
            path = (*value.path, index)
            if not isinstance(item, dict):
                self._refuse(path, "a descriptor is a mapping with a `key`")
                continue
            found.append(self._descriptor(_Value(item, path)))
        return tuple(descriptor for descriptor in found if descriptor is not None)

    def _descriptor(self, value: _Value) -> Descriptor | None:
        fields = self._fields(value, DESCRIPTOR_KEYS)
        place = self._document.place(value.path)
        key = self._needed(fields, "key", BorderpostError("BP1604", "no `key` is set", place=place))
        rule = self._rule(fields)
        descriptors = self._descriptors(fields)
        descriptor = Descriptor(
            place,
            key,
            self._text(fields, "value"),
            rule,
            descriptors,
            value_to_metric=self._flag(fields, "value_to_metric"),
            share_threshold=self._flag(fields, "share_threshold"),
        )
        return descriptor if key else None

    def _rule(self, fields: _Fields) -> RuleText | None:
        """Return what `rate_limit` says, with the descriptor's modes; without it, modes and metadata have no effect."""
        shadow, quota = self._flag(fields, "shadow_mode"), self._flag(fields, "quota_mode")
        detailed = self._flag(fields, "detailed_metric")
        metadata = None
        if "metadata" in fields:
            told = fields["metadata"]
            metadata = struct_of(self._document, told.data, told.path, self._errors)
        value = fields.get("rate_limit")
        if value is None or self._is_null(value):
            for name in ("shadow_mode", "quota_mode", "detailed_metric", "metadata"):
                if name in fields:
                    detail = f"`{name}` has no effect without `rate_limit` beside it"
                    place = self._document.place(fields[name].path)
                    self._findings.append(BorderpostError("BP1613", detail, place=place))
            return None
        limited: _Fields = {}
        for layer in _layers(value):
            if not isinstance(layer.data, dict):
                self._refuse(layer.path, "`rate_limit` is a mapping with `unit` and `requests_per_unit`")
                return None
            self._put(limited, self._fields(layer, LIMIT_KEYS))
        name = self._text(limited, "name")
        unlimited = self._flag(limited, "unlimited")
        limits = self._limits(limited, value.path, unlimited, not (shadow or quota))
        return RuleText(
            limits,
            ("",) * len(limits),
            name,
            self._replaces(limited, name),
            unlimited,
            shadow,
            quota,
            detailed,
            metadata,
        )

    def _limits(self, fields: _Fields, path: KeyPath, unlimited: bool, binding: bool) -> tuple[Limit, ...]:
        amount = self._amount(fields)
        written = self._text(fields, "unit")
        unit = unit_of(written)
        at = fields["unit"].path if "unit" in fields else path
        if unlimited:
            if unit is not Unit.UNKNOWN:
                detail = "the rule is unlimited, so it has no unit"
                self._errors.append(BorderpostError("BP1607", detail, place=self._document.place(at)))
            return ()
        if unit is Unit.UNKNOWN:
            detail = f"`{written}` is no unit of time" if written else "no `unit` is set"
            self._errors.append(
                BorderpostError("BP1606", detail, place=self._document.place(at), mend=near_unit(written))
            )
            return ()
        if "requests_per_unit" not in fields:
            detail = "`requests_per_unit` is not set, which is 0"
            self._findings.append(BorderpostError("BP1616", detail, place=self._document.place(path)))
        limit = Limit(
            self._domain,
            Algorithm.FIXED_WINDOW,
            amount,
            unit,
            unit.length_us,
            binding=binding,
            when_away=self._when_away,
        )
        return (limit,)

    def _amount(self, fields: _Fields) -> int:
        value = fields.get("requests_per_unit")
        if value is None:
            return 0
        meaning = self._scalar(value)
        if meaning is None:
            return 0
        if isinstance(meaning, int) and not isinstance(meaning, bool) and 0 <= meaning <= _AMOUNT_MAX:
            return meaning
        self._refuse(value.path, f"`requests_per_unit` is a whole number from 0 to {_AMOUNT_MAX}, without quotes")
        return 0

    def _replaces(self, fields: _Fields, own: str) -> tuple[str, ...]:
        value = fields.get("replaces")
        if value is None or self._is_null(value):
            return ()
        if not isinstance(value.data, list):
            self._refuse(value.path, "`replaces` is a list of mappings with `name`")
            return ()
        names = []
        for index, item in enumerate(value.data):
            path = (*value.path, index)
            if not isinstance(item, dict):
                self._refuse(path, "an entry of `replaces` is a mapping with `name`")
                continue
            name = self._text(self._fields(_Value(item, path), frozenset({"name"})), "name")
            if not name or name == own:
                detail = "a rule cannot replace itself" if name else "the entry has no `name`"
                self._errors.append(BorderpostError("BP1608", detail, place=self._document.place(path)))
            names.append(name)
        return tuple(names)

    def _needed(self, fields: _Fields, name: str, missing: BorderpostError) -> str:
        """Return a field as text; where it says nothing, that is a mistake."""
        known = len(self._errors)
        text = self._text(fields, name)
        if not text and len(self._errors) == known:
            self._errors.append(missing)
        return text

    def _text(self, fields: _Fields, name: str) -> str:
        """Return a field as text as it is written; empty without it."""
        value = fields.get(name)
        if value is None:
            return ""
        meaning = self._scalar(value)
        if meaning is None:
            return ""
        return self._document.plain.get(value.path, str(value.data))

    def _flag(self, fields: _Fields, name: str) -> bool:
        value = fields.get(name)
        if value is None:
            return False
        meaning = self._scalar(value)
        if meaning is None or isinstance(meaning, bool):
            return bool(meaning)
        self._refuse(value.path, f"`{name}` is true or false, without quotes")
        return False

    def _scalar(self, value: _Value) -> GoScalar:
        """Return what a scalar means; None, and an error, where it can be none."""
        if isinstance(value.data, dict | list):
            self._refuse(value.path, f"`{value.path[-1]}` is one value, not a list or mapping")
            return None
        text = self._document.plain.get(value.path)
        if text is None:
            return str(value.data)
        meaning = go_scalar(text)
        if isinstance(meaning, float) or (isinstance(meaning, int) and meaning >= 1 << 63):
            self._refuse(value.path, f"`{text}` is a number that no key takes", "Put it into quotes to make it text.")
            return None
        return meaning

    def _is_null(self, value: _Value) -> bool:
        return not isinstance(value.data, dict | list | tuple) and self._scalar(value) is None

    def _refuse(self, path: KeyPath, detail: str, mend: str | None = None) -> None:
        self._errors.append(BorderpostError("BP0104", detail, place=self._document.place(path), mend=mend))


def _layers(value: _Value) -> tuple[_Value, ...]:
    """Return the mappings that together are one, the one that wins last."""
    return value.data if isinstance(value.data, tuple) else (value,)
