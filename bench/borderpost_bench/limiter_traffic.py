"""What limiters are asked in the bench: limits, requests, and how many of them must be refused.

One descriptor a request, a tenant. Most tenants have a limit that nobody reaches; one of `SMALL_EVERY` has few hits, so
that what was refused tells whether each request was counted once: the number is known exactly.
"""

from __future__ import annotations

from borderpost_bench.load import grpc_frame
from borderpost_bench.streams import MARKER
from borderpost_bench.traffic import Request
from borderpost_proto import rate_limit_pb2
from borderpost_ratelimit.rules import REQUEST_KEY

DOMAIN = "bench"
TENANT = "tenant"
"""Key of the one entry that requests are counted by."""
TENANT_HEADER = "x-tenant"
TENANTS = 1024
"""Few enough for all to be known after a warm-up through Envoy: a busy limiter sees the same ones again and again."""
SMALL_EVERY = 32
SMALL_AMOUNT = 5
LIMITS = f"""\
domain: {DOMAIN}
descriptors:
  - key: {TENANT}
    rate_limit:
      unit: year
      requests_per_unit: 4000000000
  - key: {TENANT}
    value: "small-*"
    rate_limit:
      unit: year
      requests_per_unit: {SMALL_AMOUNT}
"""
"""The windows are years, so none ends within a run."""


def tenants() -> list[str]:
    """Return who asks, in turn."""
    return [f"{'small' if number % SMALL_EVERY == 0 else 'tenant'}-{number:04}" for number in range(TENANTS)]


def limiter_messages(*, named: bool) -> bytes:
    """Return the driver's messages, one a tenant, in gRPC frames.

    With `named` each request carries a name of its own, as our rendered filter gives them: no two are alike.
    """
    framed = b""
    for tenant in tenants():
        request = rate_limit_pb2.RateLimitRequest(domain=DOMAIN)
        descriptor = request.descriptors.add()
        descriptor.entries.add(key=TENANT, value=tenant.encode())
        if named:
            descriptor.entries.add(key=REQUEST_KEY, value=f"3f2b6c1e-8a4d-4f7e-9b0a-{MARKER}".encode())
        framed += grpc_frame(request.SerializeToString())
    return framed


def limiter_requests() -> list[Request]:
    """Return the same as requests to Envoy."""
    return [Request("127.0.0.1", {TENANT_HEADER: tenant}) for tenant in tenants()]


def refused_of(asked: int) -> int:
    """Return how many of the first so many requests, sent in turn, must be refused."""
    whole, rest = divmod(asked, TENANTS)
    counts = (whole + (number < rest) for number in range(0, TENANTS, SMALL_EVERY))
    return sum(max(0, count - SMALL_AMOUNT) for count in counts)
