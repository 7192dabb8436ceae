"""Which data classes count for a request: the floor that its tenant and route set, and what it declares."""

from __future__ import annotations

from collections.abc import Collection

from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec


def classes_that_count(
    declared: Collection[str], *, evidence: EvidenceSpec, tenant: TenantSpec | None, route: RouteSpec | None
) -> tuple[str, ...]:
    """Return the data classes of a request, sorted, for `Facts.classes`.

    The floor is what tenant and route set, together; where neither sets any, the deployment's default classes.
    Declared classes are added to it, so that a header can only tighten. Only a tenant with `trust_declared_class`,
    known by verified means, may declare classes in place of the floor. `tenant` and `route` are None where unknown.
    """
    if declared and tenant is not None and tenant.trust_declared_class:
        return tuple(sorted(set(declared)))
    floors = [spec.classes for spec in (tenant, route) if spec is not None and spec.classes is not None]
    floor = {name for classes in floors for name in classes} if floors else set(evidence.default_classes)
    return tuple(sorted(floor | set(declared)))
