"""What no section can see by itself: names that must exist elsewhere, or must not exist twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from borderpost.config.accounts import group_id, user_id
from borderpost.config.feeds import secret_mistakes
from borderpost.config.istio import cluster_name, istio_mistakes
from borderpost.config.model import Config
from borderpost.config.observe import both_mistakes, observe_mistakes
from borderpost.config.payload import payload_mistakes
from borderpost.config.rate_limit import rate_limit_mistakes
from borderpost.config.secrets import read_token
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.check import check_region_defaults
from borderpost.policy.compile import compile_policy
from borderpost.policy.own_processors import check_own_processors
from borderpost.policy.schema import RegionSpec
from borderpost.regions.failover import mistakes as failover_mistakes
from borderpost_base.errors import BorderpostError
from borderpost_base.yaml_source import KeyPath, YamlDocument, dotted


def cross_checks(config: Config, bundle: PolicyBundle | None, document: YamlDocument) -> list[BorderpostError]:
    """Return every disagreement between sections, each with its line.

    Without a bundle, because the policy itself has mistakes, what depends on its groups is left for the next run.
    """
    mistakes = (*_clusters(config), *_failover(config), *_tenant_names(config), *_peers(config), *_sinks(config))
    found = [
        BorderpostError(error.code, error.detail, place=document.place(path), mend=error.mend)
        for path, error in (
            *mistakes,
            *secret_mistakes(config.events.feeds),
            *_admin_token(config),
            *istio_mistakes(config.istio, config.regions, _enforced(config)),
            *payload_mistakes(config.payload, config.routes, bundle),
            *rate_limit_mistakes(config.rate_limit, config.limiter),
            *observe_mistakes(config.observe, config.routes, config.regions),
            *both_mistakes(config.observe, config.istio),
        )
    ]
    if bundle is not None:
        for path, error in check_region_defaults(config.region_defaults, bundle.vocabulary):
            found.append(BorderpostError(error.code, error.detail, place=document.place(path), mend=error.mend))
        unranked = list(config.ranking.mistakes(config.regions.keys(), bundle.vocabulary.groups.keys()))
        paths = {dotted(path): path for path in document.lines} if unranked else {}
        for error in unranked:
            place = document.place(paths.get(error.place.key or "", ("ranking",)))
            found.append(BorderpostError(error.code, error.detail, place=place, mend=error.mend))
    return found


def own_processor_checks(
    bundle: PolicyBundle, regions: Mapping[str, RegionSpec], document: YamlDocument, now_us: int
) -> list[BorderpostError]:
    """Return where the law in force now does not let this gateway or a sink see what they would, if that is to be
    known at load (`policy.processors`). Raises Problems or BorderpostError for what does not compile."""
    if bundle.inline.processors.checked != "at-load":
        return []
    return [
        BorderpostError(error.code, error.detail, place=document.place(path), mend=error.mend)
        for path, error in check_own_processors(compile_policy(bundle, regions), now_us)
    ]


def _enforced(config: Config) -> Mapping[str, object]:
    """Return the routes that are not only observed."""
    return {name: route for name, route in config.routes.items() if name not in config.observe.routes}


def _clusters(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find clusters that would stand for two regions: what the law allows one, Envoy could give to the other."""
    owners: dict[str, str] = {}
    for name, region in config.regions.items():
        cluster = cluster_name(config.istio, name, region)
        if cluster in owners:
            detail = f"regions `{owners[cluster]}` and `{name}` share the cluster `{cluster}`"
            yield ("regions", name, "cluster"), BorderpostError("BP0108", detail)
        owners.setdefault(cluster, name)


def _failover(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find failover groups that would stand for something else than their regions."""
    clusters = {name: cluster_name(config.istio, name, spec) for name, spec in config.regions.items()}
    return failover_mistakes(config.failover, clusters)


def _tenant_names(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find certificate names that would prove two tenants."""
    owners: dict[str, str] = {}
    for name, tenant in config.tenants.items():
        for index, san in enumerate(tenant.san):
            if owners.get(san, name) != name:
                detail = f"tenants `{owners[san]}` and `{name}` share the certificate name `{san}`"
                yield ("tenants", name, "san", index), BorderpostError("BP0108", detail)
            owners.setdefault(san, name)


def _peers(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find names of peers that nobody has: a list that lets in fewer than it seems to."""
    lists = (("peer_users", config.server.peer_users, user_id), ("peer_groups", config.server.peer_groups, group_id))
    for key, names, number_of in lists:
        for index, name in enumerate(names):
            try:
                number_of(name)
            except BorderpostError as error:
                yield ("server", key, index), error


def _admin_token(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find a token that is none."""
    if config.admin.token_file is not None:
        try:
            read_token(config.admin.token_file, "BP0506")
        except BorderpostError as error:
            yield ("admin", "token_file"), error


def _sinks(config: Config) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find servers that are sent something and whose place nobody has told."""
    limiter = config.limiter
    for section, key, redis in (
        ("events", "redis", config.events.redis),
        ("counters", "redis", config.counters.redis),
        ("limiter", "store", limiter.store if limiter is not None else None),
        ("limiter", "global_store", limiter.global_store if limiter is not None else None),
    ):
        if redis is not None and redis.sink not in config.sinks:
            named = f"no sink `{redis.sink}` is described under `sinks`"
            detail = named if redis.sink else "no `sink` says where the server stands and who runs it"
            yield (section, key, "sink") if redis.sink else (section, key), BorderpostError("BP0109", detail)
