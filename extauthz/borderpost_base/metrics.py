"""Every metric of the product: its name, kind, help and labels, and the typed instruments made from them.

A metric has one home, the class attribute in `Metrics`; the exposition, the docs' table and the dashboards
are made from `METRICS`. Workers are processes of their own: each keeps its values in memory-mapped files of
prometheus_client's multiprocess mode, named by the worker's index so that a restarted worker goes on counting
where the last one stopped, and the steward reads them all when it is scraped. So each metric belongs to one
kind of process (`owner`); the other kind has no business with it and is told so.

    worker   metrics.decisions_total.inc("routed", "ok")
    steward  exposition(metrics, directory) -> bytes of /metrics
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest, multiprocess, values

from borderpost_base.instruments import (
    METRICS,
    PREFIX,
    BoundedCounter,
    BoundedGauge,
    BoundedHistogram,
    Declared,
    MetricSpec,
    Owner,
    counter,
    gauge,
    histogram,
)
from borderpost_base.limits import LIMITER_RULES_TOLD_MAX

__all__ = ["CONTENT_TYPE", "METRICS", "PREFIX", "BoundedCounter", "BoundedGauge", "MetricSpec", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `exposition`."""

_RULES = LIMITER_RULES_TOLD_MAX
_DECISION_SECONDS = (50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 200e-3, 1.0)
_SYNC_SECONDS = (20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 200e-3, 1.0, 5.0)
_BATCH_RECORDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Metrics:
    """The instruments of one process; each attribute is one metric without its `borderpost_` prefix."""

    # Decisions, counted by the workers.
    decisions_total = counter("worker", "Decisions made, by outcome and reason.", "outcome", "reason")
    routed_total = counter("worker", "Requests routed, by the region chosen.", "region")
    refusals_total = counter("worker", "Requests refused, by HTTP status and error code.", "status", "code")
    unrecorded_total = counter(
        "worker", "Requests refused without a record: no current policy, or a log that takes none.", "code", "reason"
    )
    decision_seconds = histogram(
        "worker", "From a request's arrival to its answer, the durable record included.", _DECISION_SECONDS
    )
    facts_rejected_total = counter("worker", "Header values that were refused, by reason.", "reason")
    geoip_unknown_total = counter("worker", "Requests whose address the GeoIP database does not know.")
    geoip_doubted_total = counter(
        "worker", "Requests whose address has a place that is not believed, by reason.", "doubt"
    )

    # Bodies, where they are read.
    bodies_total = counter(
        "worker",
        "Bodies by what became of them: `read`, `assumed` (its form is not read), `refused`, `overdue`, `crowd`.",
        "outcome",
    )
    body_findings_total = counter("worker", "Bodies in which a detector found something.", "detector")
    body_read_seconds = histogram("worker", "Reading of one body, detectors included.", _SYNC_SECONDS)

    # The record.
    audit_commit_seconds = histogram("worker", "Write and fdatasync of one batch of records.", _SYNC_SECONDS)
    audit_batch_records = histogram("worker", "Records in one commit.", _BATCH_RECORDS)
    audit_records_total = counter("worker", "Records made durable.")
    audit_bytes_total = counter("worker", "Bytes of records made durable.")
    audit_unavailable = gauge("worker", "1 while any worker's log cannot be written: its requests are refused.")
    audit_pending = gauge("worker", "Decisions whose record is not yet durable, all workers.", merge="sum")

    # What the workers decide by.
    snapshot_generation = gauge(
        "worker", "Generation of the snapshot in use by the worker last to follow.", merge="min"
    )
    snapshot_age_seconds = gauge("worker", "Age of the oldest snapshot in use by any worker.")
    clock_ahead_seconds = gauge("worker", "How far decision time stands ahead of the wall clock after a clock step.")

    # Regions, probed by the steward.
    region_up = gauge("steward", "1 if the region's probe says it is up, else 0.", "region")
    region_latency_seconds = gauge("steward", "Latest latency that the probe measured to the region.", "region")
    probe_total = counter("steward", "Probes made, by region and result.", "region", "result")

    # What is in force.
    policy_info = gauge("steward", "Always 1; the label is the digest of the policy in force.", "digest")
    events_in_force = gauge("steward", "Legal events in force now.")
    events_lines = gauge("steward", "Lines of the signed list of legal events that were taken.")
    events_lag_seconds = gauge("steward", "From appending the newest line that was taken to taking it here.")
    events_stale = gauge("steward", "1 while no heartbeat is as young as it must be: revocable bases are refused.")
    events_heartbeat_age_seconds = gauge("steward", "Time since a signer last vouched for the list.")
    events_stream_connected = gauge("steward", "1 while the server of the events stream answers, else 0.")
    events_stream_silent_seconds = gauge("steward", "Time since the server of the events stream last answered.")
    clock_error_seconds = gauge("steward", "How far this machine's clock may be wrong, as legal events count it.")
    reload_total = counter("steward", "Reloads of configuration, events or GeoIP, by result.", "what", "result")
    feed_messages_total = counter("steward", "Messages of feeds, by feed and result.", "feed", "result")
    triggers_fired_total = counter("steward", "Events that triggers fired here.", "trigger")
    reload_stale = gauge("steward", "1 while the newest on disk is refused, the last good in force.", "what")
    reload_taken_timestamp_seconds = gauge("steward", "When the one in force was taken, Unix time.", "what")
    rollback_refused_total = counter(
        "steward", "Refusals of law, events or a GeoIP database older than what was seen before.", "what"
    )
    pack_review_overdue_days = gauge("steward", "Days since the pack's review date, 0 before it.", "pack")
    geoip_age_days = gauge("steward", "Days since the GeoIP database was built.")

    # Counting for threshold laws.
    counter_requests = gauge("steward", "Requests counted in the current window, the fleet's included.", "counter")
    counter_share = gauge("steward", "That count as a share of the next threshold; 1 when all are reached.", "counter")
    counter_fleet_age_seconds = gauge("steward", "Time since the fleet's count was last exchanged.")
    counter_save_failures_total = counter("steward", "Times the count could not be brought to stable storage.")

    # The shadow.
    shadow_divergence_total = counter(
        "worker", "Requests on which the shadow differs from the law in force, by how.", "kind"
    )
    shadow_broken = gauge("worker", "1 while any worker cannot use the published shadow: nothing is compared.")

    # Observed routes.
    observed_routes = gauge("steward", "Routes that are observed: no law is kept on them.")
    observed_total = counter(
        "worker",
        "Requests on observed routes, by what would have been done: `stayed`, `moved_by_law`, `moved_by_rank`, "
        "`refused`, `routed` (it is not known whether elsewhere); `unrecorded` where no record was made.",
        "outcome",
    )
    misplaced_total = counter(
        "worker",
        "Requests on which Envoy and the configuration disagree: `unenforced` (Envoy only observes a route that is to "
        "be enforced), `unobserved` (the other way round; refused).",
        "how",
    )

    # Certificates of a network listener.
    certificate_expiry_timestamp_seconds = gauge(
        "steward", "When the certificate in use expires, Unix time, by the section that names it.", "section"
    )
    certificates_stale = gauge("worker", "1 while any worker could not take certificates that were found good.")

    # Processes.
    worker_up = gauge("steward", "1 while the worker runs and is ready, else 0.", "worker")
    worker_restarts_total = counter("steward", "Times a worker was started again after it ended.", "worker")

    # The rate-limit service, in a process of its own.
    limiter_up = gauge("steward", "1 while the limiter runs and answers, else 0.")
    limiter_restarts_total = counter("steward", "Times the limiter was started again after it ended.")
    limiter_reload_total = counter("limiter", "Reloads of limits files or certificates, by result.", "what", "result")
    limiter_reload_stale = gauge("limiter", "1 while the newest on disk is refused, the last good in force.", "what")
    limiter_reload_taken_timestamp_seconds = gauge(
        "limiter", "When the limits files or certificates in force were taken, Unix time.", "what"
    )
    limiter_certificate_expiry_timestamp_seconds = gauge(
        "limiter", "When the certificate in use expires, Unix time, by the section that names it.", "section"
    )
    limiter_refusals_recorded_total = counter(
        "limiter",
        "Refusals of limits by their record: `singly`, `counted` (a record of several follows), `untaken` (the log "
        "took none; a record of several follows once it does).",
        "how",
    )
    limiter_refusals_late_total = counter("limiter", "Refusals that Envoy was told before their record was durable.")
    limiter_audit_unavailable = gauge(
        "limiter", "1 while the limiter's log cannot be written: refusals stand without a record."
    )
    limiter_audit_commit_seconds = histogram("limiter", "Write and fdatasync of one batch of records.", _SYNC_SECONDS)
    limiter_domains = gauge("limiter", "Domains that the limits files in force name.")
    limiter_requests_total = counter(
        "limiter", "Questions that were answered, by the answer: `ok`, `over_limit`.", "answer"
    )
    limiter_errors_total = counter(
        "limiter",
        "Questions that got an error for an answer: `malformed`, `service`, or `store_` and why the store had none.",
        "reason",
    )
    limiter_shadowed_requests_total = counter(
        "limiter", "Questions answered OK only because everything is in shadow mode (global_shadow_mode)."
    )
    limiter_domain_not_found_total = counter("limiter", "Descriptors of a domain that no file names.", "domain")
    limiter_unrecorded_total = counter("limiter", "Refusals whose record did not become durable.")
    limiter_hits_total = counter(
        "limiter", "Hits that were asked for, by rule (total_hits).", "rule", values_max=_RULES
    )
    limiter_within_limit_total = counter(
        "limiter", "Hits that the rule's limits let pass (within_limit).", "rule", values_max=_RULES
    )
    limiter_near_limit_total = counter(
        "limiter", "Hits that passed above the near share of a limit (near_limit).", "rule", values_max=_RULES
    )
    limiter_over_limit_total = counter(
        "limiter", "Hits that did not fit, in shadow mode too (over_limit).", "rule", values_max=_RULES
    )
    limiter_over_limit_near_cache_total = counter(
        "limiter",
        "Hits over a limit for which the store was not asked (over_limit_with_local_cache).",
        "rule",
        values_max=_RULES,
    )
    limiter_shadow_total = counter(
        "limiter",
        "Hits over a limit that passed because the rule is in shadow mode (shadow_mode).",
        "rule",
        values_max=_RULES,
    )
    limiter_given_back_total = counter("limiter", "Hits that were given back.", "rule", values_max=_RULES)
    limiter_charged_at_end_total = counter(
        "limiter", "Hits of requests that had ended, which no limit can refuse.", "rule", values_max=_RULES
    )
    limiter_calls_total = counter(
        "limiter", "Calls over gRPC: `begun`, `turned_away`, `gone_unanswered` (their peer went first).", "what"
    )
    limiter_calls_in_progress = gauge("limiter", "Calls over gRPC that are open now.", merge="sum")
    limiter_counters = gauge("limiter", "Keys that have a counter of their own in memory.", merge="sum")
    limiter_store_away = gauge(
        "limiter", "1 while the store of counters is not asked, since it does not answer.", "scope"
    )
    limiter_store_away_seconds = gauge("limiter", "For how long the store has not been asked; 0 while it is.", "scope")
    limiter_store_connected = gauge(
        "limiter", "1 while each server of the store has a connection.", "scope", merge="min"
    )
    limiter_store_connections_total = counter("limiter", "Connections made to the store's servers.", "scope")
    limiter_store_script_loads_total = counter(
        "limiter", "Times a server of the store had forgotten the script and was given it anew.", "scope"
    )
    limiter_store_opened_total = counter("limiter", "Times the store was taken to be away.", "scope")
    limiter_store_unanswered_total = counter(
        "limiter",
        "Batches of questions without an answer in time (`timeout`), answers that came later (`late`), and questions "
        "that the store did not answer, by its reason.",
        "scope",
        "reason",
    )
    limiter_store_probes_total = counter(
        "limiter", "Tries whether the store is back: `made`, and of these `failed`.", "scope", "what"
    )
    limiter_store_owed = gauge("limiter", "Charges that the store has yet to be told of.", "scope", merge="sum")
    limiter_store_told_total = counter(
        "limiter",
        "Charges made without the store: `told` to it once it was back, or `dropped` since their window had ended.",
        "scope",
        "what",
    )
    limiter_assumed_total = counter(
        "limiter",
        "Charges decided without the store: `estimated` here, `allowed` or `refused` as the file says.",
        "scope",
        "how",
    )
    limiter_overflowed_total = counter(
        "limiter", "Charges to a counter that several keys share, for want of room in memory."
    )

    def __init__(self, owners: frozenset[Owner]) -> None:
        self.registry = CollectorRegistry()
        for declared in vars(type(self)).values():
            if isinstance(declared, Declared) and declared.spec.owner in owners:
                self.__dict__[declared.attribute] = declared.make(self.registry)

    def flush(self) -> None:
        """Bring what counters and histograms have gathered to where it is scraped; a worker does so at each beat."""
        for instrument in self.__dict__.values():
            if isinstance(instrument, BoundedCounter | BoundedHistogram):
                instrument.flush()


def clear_directory(directory: Path) -> None:
    """Make an empty directory for the workers' files; the steward does so once, before it starts any worker."""
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob("*.db"):
        left.unlink()


def worker_metrics(index: int, directory: Path) -> Metrics:
    """Return a worker's metrics, kept in memory-mapped files of `directory` under the worker's index.

    To be called once, early in a worker process: it sets this process's kind of value for all of
    prometheus_client. At most one process with this index may run at a time.
    """
    _share_values(index, directory)
    return Metrics(frozenset({"worker"}))


def _share_values(identity: int | str, directory: Path) -> None:
    """Have this process keep its values in files of the directory, under a name of its own."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    directory.mkdir(parents=True, exist_ok=True)
    forget_worker(identity, directory)  # what the last process of this name measured is no longer so
    values.ValueClass = values.MultiProcessValue(lambda: identity)  # type: ignore[no-untyped-call]


def limiter_metrics(directory: Path | None = None, stream: int = 0) -> Metrics:
    """Return the limiter's metrics: in memory, or where a steward reads them in the directory, as workers' are.

    To be called once, early in a limiter's process. At most one process with this stream's number may run at a time.
    """
    if directory is not None:
        _share_values(limiter_identity(stream), directory)
    return Metrics(frozenset({"limiter"}))


def limiter_identity(stream: int) -> str:
    """Return the name by which a limiter's files are told from the workers', which are named by numbers."""
    return f"limiter-{stream}"


def steward_metrics() -> Metrics:
    """Return the steward's own metrics; `exposition` adds the workers'."""
    return Metrics(frozenset({"steward"}))


def local_metrics() -> Metrics:
    """Return every metric in one process's memory, for a bench or a simulation."""
    return Metrics(frozenset({"worker", "steward", "limiter"}))


def forget_worker(identity: int | str, directory: Path) -> None:
    """Drop the gauges of a worker or limiter that ended; its counts stay."""
    multiprocess.mark_process_dead(identity, str(directory))  # type: ignore[no-untyped-call]


def exposition(metrics: Metrics, directory: Path | None = None) -> bytes:
    """Return the text of `/metrics`: this process's own, then what the workers left in `directory`."""
    metrics.flush()
    return text_of(metrics, directory)


def text_of(metrics: Metrics, directory: Path | None = None) -> bytes:
    """Return the text of what was flushed; on any thread, since many series take a while (10,000 rules 0.7 s)."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which the text format can do without
    text = generate_latest(metrics.registry)
    if directory is None or not directory.is_dir():
        return text
    workers = CollectorRegistry()
    multiprocess.MultiProcessCollector(workers, str(directory))  # type: ignore[no-untyped-call]
    return text + generate_latest(workers)
