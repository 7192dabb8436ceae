"""Our rate limit messages have the bytes of Envoy's: another's copy of its schema reads and writes them alike."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.warnings import PydanticDeprecatedSince212

from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse, RateLimitUnit
from borderpost_ratelimit.limits import Unit

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PydanticDeprecatedSince212)
    from envoy_data_plane.envoy.service.ratelimit import v3 as oracle

texts = st.text(max_size=20)
uint32 = st.integers(0, 2**32 - 1)
units = st.sampled_from([int(unit) for unit in Unit])
headers = st.dictionaries(texts, texts, max_size=2)


def test_units_have_envoys_numbers() -> None:
    theirs = {unit.name: unit.value for unit in oracle.RateLimitResponseRateLimitUnit}
    ours = dict(RateLimitUnit.items())
    assert ours.pop("UNKNOWN_UNIT") == theirs.pop("UNKNOWN")
    assert ours == theirs == {unit.name: int(unit) for unit in Unit if unit}


@st.composite
def requests(draw: st.DrawFn) -> RateLimitRequest:
    request = RateLimitRequest(domain=draw(texts), hits_addend=draw(uint32))
    for _ in range(draw(st.integers(0, 3))):
        descriptor = request.descriptors.add()
        for key, value in draw(headers).items():
            descriptor.entries.add(key=key, value=value.encode())
        if draw(st.booleans()):
            descriptor.limit.requests_per_unit = draw(uint32)
            descriptor.limit.unit = RateLimitUnit.ValueType(draw(units))
        if draw(st.booleans()):
            descriptor.hits_addend.value = draw(st.integers(0, 2**64 - 1))
    return request


@settings(max_examples=20)
@given(requests())
def test_a_request_of_ours_is_one_of_envoys(request: RateLimitRequest) -> None:
    theirs = oracle.RateLimitRequest().parse(request.SerializeToString())
    assert theirs.domain == request.domain
    assert [len(one.entries) for one in theirs.descriptors] == [len(one.entries) for one in request.descriptors]
    assert RateLimitRequest.FromString(bytes(theirs)) == request


def filled_status(draw: st.DrawFn, status: Any) -> None:
    status.code = draw(st.integers(0, 2))
    status.limit_remaining = draw(uint32)
    if draw(st.booleans()):
        status.current_limit.requests_per_unit = draw(uint32)
        status.current_limit.unit = draw(units)
        status.current_limit.name = draw(texts)
    if draw(st.booleans()):
        status.duration_until_reset.seconds = draw(st.integers(0, 10**9))
    if draw(st.booleans()):
        status.quota.requests = draw(uint32)
        status.quota.valid_until.seconds = draw(st.integers(0, 4_000_000_000))
        status.quota.id = draw(texts)


@st.composite
def responses(draw: st.DrawFn) -> RateLimitResponse:
    response = RateLimitResponse(raw_body=draw(st.binary(max_size=9)))
    response.overall_code = RateLimitResponse.Code.ValueType(draw(st.integers(0, 2)))
    for _ in range(draw(st.integers(0, 3))):
        filled_status(draw, response.statuses.add())
    for name, value in draw(headers).items():
        response.response_headers_to_add.add(key=name, value=value)
        response.request_headers_to_add.add(key=name, value=value)
    if draw(st.booleans()):
        response.dynamic_metadata.update(draw(headers))
    if draw(st.booleans()):
        response.quota.requests = draw(uint32)
    return response


@settings(max_examples=20)
@given(responses())
def test_an_answer_of_ours_is_one_of_envoys(response: RateLimitResponse) -> None:
    theirs = oracle.RateLimitResponse().parse(response.SerializeToString())
    assert [status.limit_remaining for status in theirs.statuses] == [one.limit_remaining for one in response.statuses]
    assert RateLimitResponse.FromString(bytes(theirs)) == response


def test_what_that_copy_lacks_has_envoys_numbers() -> None:
    """Of these the real Envoy is asked (tests/blackbox/test_ratelimit_envoy.py)."""
    negative = RateLimitDescriptor.DESCRIPTOR.fields_by_name["is_negative_hits"]
    asked = RateLimitDescriptor.RateLimitOverride.DESCRIPTOR.fields_by_name["unit_multiplier"]
    told = RateLimitResponse.RateLimit.DESCRIPTOR.fields_by_name["unit_multiplier"]
    assert (negative.number, asked.number, told.number) == (4, 3, 4)
