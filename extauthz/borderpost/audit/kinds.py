"""The kinds of value a record's field may have: what each allows, and how it is told in the reference.

A kind's `check` implies the strict profile (`profile.check_value`) for the values it accepts, so that a
record that fits its schema needs no second walk; a property test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from borderpost.audit.profile import INTEGER_MAX, ProfileError, check_text

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class Kind(Protocol):
    """What a field's value may be."""

    def check(self, value: Any) -> None:
        """Raise ProfileError unless the value is of this kind."""
        ...

    def describe(self) -> str:
        """Return the kind in a few words, for the reference."""
        ...


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer between two bounds, both allowed."""

    minimum: int = 0
    maximum: int = INTEGER_MAX

    def check(self, value: Any) -> None:
        """Refuse booleans, floats and what is out of bounds."""
        if type(value) is not int:
            raise ProfileError(f"is {_named(value)}, not an integer")
        if not self.minimum <= value <= self.maximum:
            raise ProfileError(f"is {value}, not between {self.minimum} and {self.maximum}")

    def describe(self) -> str:
        """Return the bounds."""
        bound = "2^53-1" if self.maximum == INTEGER_MAX else str(self.maximum)
        return f"integer {self.minimum}…{bound}"


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    def check(self, value: Any) -> None:
        """Refuse all but booleans."""
        if type(value) is not bool:
            raise ProfileError(f"is {_named(value)}, not a boolean")

    def describe(self) -> str:
        """Return the kind's name."""
        return "boolean"


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a given form and size."""

    form: str
    """What the string is, in a word or two."""
    pattern: re.Pattern[str]
    """Matched in full."""
    bytes_max: int
    """Size in UTF-8."""

    def check(self, value: Any) -> None:
        """Refuse other types, sizes and forms."""
        # Verification calls this for every string of a log: what nearly all of them are comes first.
        if type(value) is str and value.isascii() and len(value) <= self.bytes_max and self.pattern.fullmatch(value):
            return
        if not isinstance(value, str):
            raise ProfileError(f"is {_named(value)}, not a string")
        check_text(value)
        size = len(value.encode())
        if size > self.bytes_max:
            raise ProfileError(f"has {size} bytes, at most {self.bytes_max} are allowed")
        if self.pattern.fullmatch(value) is None:
            raise ProfileError(f"is not {self.form}: {value[:80]!r}")

    def describe(self) -> str:
        """Return form and size."""
        return f"{self.form}, at most {self.bytes_max} bytes"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def check(self, value: Any) -> None:
        """Refuse other words."""
        if value not in self.words:
            raise ProfileError(f"is {value!r:.80}, not one of {', '.join(self.words)}")

    def describe(self) -> str:
        """Return the words."""
        return " | ".join(self.words)


@dataclass(frozen=True, slots=True)
class Stamp:
    """An instant in UTC, `YYYY-MM-DDThh:mm:ss.uuuuuuZ`, always with six digits of microseconds."""

    def check(self, value: Any) -> None:
        """Refuse other forms and days that no calendar has."""
        if not isinstance(value, str) or _STAMP.fullmatch(value) is None:
            raise ProfileError(f"is not an instant of the form YYYY-MM-DDThh:mm:ss.uuuuuuZ: {value!r:.80}")
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise ProfileError(f"is no instant: {error}") from error

    def describe(self) -> str:
        """Return the form."""
        return "instant, YYYY-MM-DDThh:mm:ss.uuuuuuZ"


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of one kind."""

    kind: Kind
    count_max: int

    def check(self, value: Any) -> None:
        """Refuse other types, longer lists and items of another kind."""
        if type(value) is not list and type(value) is not tuple:
            raise ProfileError(f"is {_named(value)}, not an array")
        if len(value) > self.count_max:
            raise ProfileError(f"has {len(value)} items, at most {self.count_max} are allowed")
        check = self.kind.check
        for index, item in enumerate(value):
            try:
                check(item)
            except ProfileError as error:
                raise error.within(f"[{index}]") from None

    def describe(self) -> str:
        """Return the items' kind and number."""
        return f"array of at most {self.count_max}: {self.kind.describe()}"


@dataclass(frozen=True, slots=True)
class CountsOf:
    """An object from open keys of one form to counts."""

    key: Text
    count_max: int

    def check(self, value: Any) -> None:
        """Refuse other types, more entries, keys of another form and values that are no counts."""
        if type(value) is not dict:
            raise ProfileError(f"is {_named(value)}, not an object")
        if len(value) > self.count_max:
            raise ProfileError(f"has {len(value)} entries, at most {self.count_max} are allowed")
        for key, count in value.items():
            try:
                self.key.check(key)
                if not key.isascii():
                    raise ProfileError("is not an ASCII key")
                _COUNT.check(count)
            except ProfileError as error:
                raise error.within(str(key)[:80]) from None

    def describe(self) -> str:
        """Return the keys' form and number."""
        return f"object of at most {self.count_max} counts by {self.key.form}"


_COUNT = Integer()


@dataclass(frozen=True, slots=True)
class Field:
    """One named field of a shape."""

    name: str
    kind: Kind
    about: str
    """What it says and where it comes from, for the reference."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with a closed set of fields."""

    fields: tuple[Field, ...]
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    required: frozenset[str] = field(init=False, repr=False, compare=False)
    checks: Mapping[str, Callable[[Any], None]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {each.name: each for each in self.fields}
        if len(by_name) != len(self.fields):
            raise ValueError("a shape names a field twice")
        object.__setattr__(self, "by_name", by_name)
        object.__setattr__(self, "checks", {each.name: each.kind.check for each in self.fields})
        object.__setattr__(self, "required", frozenset(each.name for each in self.fields if each.required))

    def check(self, value: Any) -> None:
        """Refuse other types, unknown fields, missing fields and fields of another kind."""
        if type(value) is not dict:
            raise ProfileError(f"is {_named(value)}, not an object")
        checks = self.checks
        name = ""
        try:
            for name, item in value.items():
                checks[name](item)
        except KeyError:
            raise ProfileError(f"has no field {name!r:.80}") from None
        except ProfileError as error:
            raise error.within(name) from None
        if not self.required <= value.keys():
            missing = ", ".join(sorted(self.required - value.keys()))
            raise ProfileError(f"lacks {missing}")

    def describe(self) -> str:
        """Return the kind's name; its fields are told one by one."""
        return "object"


def format_stamp(at_us: int) -> str:
    """Return an instant in microseconds since the Unix epoch as the profile writes it."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_us % 1_000_000:06d}Z"


def parse_stamp(text: str) -> int:
    """Return an instant of the profile in microseconds since the Unix epoch. Raises ProfileError."""
    Stamp().check(text)
    seconds = datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    return int(seconds) * 1_000_000 + int(text[20:26])


def _named(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
