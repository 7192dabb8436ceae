"""Kinds of values that policy fields hold: codes, names, instants, texts; each with one canonical form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from borderpost.policy import codes
from borderpost_base.errors import BorderpostError
from borderpost_base.limits import CLUSTER_NAME_BYTES_MAX

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MICROSECOND = timedelta(microseconds=1)


def told(error: BorderpostError) -> PydanticCustomError:
    """Wrap an error so that pydantic collects it and `borderpost_base.strict` tells it with its place."""
    return PydanticCustomError("borderpost", "{detail}", {"detail": error.detail, "error": error})


def refuse_at(title: str, found: Iterable[tuple[tuple[str | int, ...], BorderpostError]]) -> None:
    """Raise, inside a model validator, all errors found, each at its own location below the model."""
    items = [InitErrorDetails(type=told(error), loc=path, input=None) for path, error in found]
    if items:
        raise ValidationError.from_exception_data(title, items)


def checked(check: Callable[[Any], Any]) -> BeforeValidator:
    """Run a check before pydantic's own; the BorderpostError that it raises is told with its place."""

    def validator(value: Any) -> Any:
        try:
            return check(value)
        except BorderpostError as error:
            raise told(error) from error

    return BeforeValidator(validator)


def _code(value: Any) -> str:
    codes.split_code(value)
    return str(value)


def _country(value: Any) -> str:
    country, suffix = codes.split_code(value)
    if suffix is not None:
        raise BorderpostError("BP0202", f"`{value}` is a subdivision; a country is expected", mend=f"`{country}`")
    return country


def _group_name(value: Any) -> str:
    if not isinstance(value, str):
        codes.split_code(value)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value):
        raise BorderpostError("BP0209", f"`{value}` cannot name a group", mend="letters, digits and `_`, up to 64")
    if value in codes.COUNTRIES or value in codes.RESERVED:
        raise BorderpostError("BP0209", f"`{value}` is a country's code and cannot name a group")
    return str(value)


def _place_ref(value: Any) -> str:
    if isinstance(value, str) and (value == "*" or re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value)):
        if value in codes.RESERVED:
            codes.split_code(value)
        return value
    codes.split_code(value)
    return str(value)


def parse_instant(value: Any) -> datetime:
    """Read a day (its 00:00:00 UTC) or an instant with a zone. Raises BorderpostError BP0207."""
    if isinstance(value, str):
        text = value + "T00:00:00+00:00" if _DATE.fullmatch(value) else value
        try:
            value = datetime.fromisoformat(text)
        except ValueError as error:
            raise BorderpostError("BP0207", f"`{value}` is not an ISO 8601 day or instant") from error
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise BorderpostError("BP0207", f"`{value}` is not a date")
    if value.utcoffset() is None:
        raise BorderpostError("BP0207", f"`{value.isoformat()}` has no zone", mend="add `Z` for UTC, or an offset")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise BorderpostError("BP0207", "the instant lies beyond the calendar") from error


def format_instant(value: datetime) -> str:
    """Write an instant in its one canonical form, `YYYY-MM-DDThh:mm:ss.uuuuuuZ`."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def to_us(value: datetime) -> int:
    """Return microseconds since 1970 of an instant, exactly."""
    return (value - EPOCH) // _MICROSECOND


def _nfc(value: str) -> str:
    return unicodedata.normalize("NFC", value)


ClusterName = Annotated[str, StringConstraints(pattern=rf"^[\x21-\x7e]{{1,{CLUSTER_NAME_BYTES_MAX}}}$")]
"""Name of an Envoy cluster: visible ASCII, the pipes of Istio's names included."""
Code = Annotated[str, checked(_code), WithJsonSchema({"type": "string", "pattern": codes.PATTERN})]
"""A country, subdivision or sub-country jurisdiction."""

Country = Annotated[str, checked(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
"""An ISO 3166-1 alpha-2 code or XK."""

GroupName = Annotated[
    str, checked(_group_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"})
]
"""A group's name; never a country's code."""

_PLACE_REF = {"type": "string", "pattern": r"^(\*|[A-Za-z][A-Za-z0-9_]{0,63}|[A-Z]{2}-[A-Z0-9]{1,8})$"}

PlaceRef = Annotated[str, checked(_place_ref), WithJsonSchema(_PLACE_REF)]
"""A code, the name of a group, or `*` for every place."""


def _places(value: Any) -> Any:
    return [value] if isinstance(value, (str, bool)) else value


Places = Annotated[
    tuple[PlaceRef, ...],
    BeforeValidator(_places),
    WithJsonSchema({"anyOf": [_PLACE_REF, {"type": "array", "items": _PLACE_REF}]}),
]
"""One place or several: a code, a group's name, `*`, or a list of them."""


class WithAny:
    """Lets the JSON Schema know that `*` may stand for a list."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"const": "*"}, handler(core)]}


class OrAlone:
    """Lets the JSON Schema know that a list of one may be written as its item."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        listed = handler(core)
        forms = listed.get("anyOf", [listed])
        return {"anyOf": [*(form["items"] for form in forms if "items" in form), *forms]}


def _any_or_list(value: Any) -> Any:
    return ["*"] if value == "*" else value


Instant = Annotated[
    datetime,
    checked(parse_instant),
    PlainSerializer(format_instant, when_used="json"),
    WithJsonSchema({"type": "string", "description": "YYYY-MM-DD (00:00:00 UTC) or an instant with a zone"}),
]
"""An instant in UTC, to the microsecond. A plain day means its first instant, 00:00:00 UTC."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_nfc)]
"""Free text in Unicode normal form C, at most 2,000 characters."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A short lower-case id: it stands in reasons, records and metrics."""

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}$")]
"""A name from outside (tenant, model, contract, certificate scheme): visible ASCII without comma or space."""

RouteName = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,200}$")]
"""An Envoy route's name: printable ASCII."""

HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
"""An HTTP header's name, lower case as in HTTP/2."""

Classes = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,63})$")], ...],
    BeforeValidator(_any_or_list),
    WithAny(),
]
"""Data classes, or `*` for any data and none."""
