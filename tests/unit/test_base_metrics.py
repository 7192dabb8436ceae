"""Metrics: one registry, bounded labels, workers' files that outlive a worker and are joined by the steward."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from borderpost_base import instruments, limits
from borderpost_base.metrics import (
    METRICS,
    Metrics,
    clear_directory,
    exposition,
    forget_worker,
    local_metrics,
    steward_metrics,
)


def samples(text: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    names: set[str] = set()
    for family in text_string_to_metric_families(text.decode()):
        assert family.name not in names, f"{family.name} stands in the exposition twice"
        names.add(family.name)
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def worker(directory: Path, index: int, code: str) -> None:
    program = (
        "from pathlib import Path\nfrom borderpost_base.metrics import worker_metrics\n"
        f"m = worker_metrics({index}, Path({str(directory)!r}))\n{code}\nm.flush()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_every_metric_is_named_and_explained_as_prometheus_asks() -> None:
    for name, spec in METRICS.items():
        assert re.fullmatch(r"borderpost_[a-z0-9_]+", name)
        assert name.endswith("_total") == (spec.kind == "counter"), name
        assert bool(spec.buckets) == (spec.kind == "histogram"), name
        assert list(spec.buckets) == sorted(set(spec.buckets))
        assert spec.help.endswith("."), name
        assert len(spec.labels) <= 2, name


def test_the_exposition_names_every_metric_with_its_help() -> None:
    text = exposition(local_metrics()).decode()
    for name, spec in METRICS.items():
        assert f"# HELP {name} {spec.help}\n# TYPE {name} {spec.kind}\n" in text
    assert "_created" not in text


def test_values_come_out_as_they_went_in() -> None:
    m = local_metrics()
    m.decisions_total.inc("routed", "ok")
    m.decisions_total.inc("routed", "ok", by=2)
    m.region_up.set(1, "eu")
    m.decision_seconds.observe(0.0003)
    found = samples(exposition(m))
    assert found["borderpost_decisions_total{outcome=routed,reason=ok}"] == 3 == m.decisions_total.get("routed", "ok")
    assert found["borderpost_region_up{region=eu}"] == 1 == m.region_up.get("eu")
    assert found["borderpost_decision_seconds_bucket{le=0.0002}"] == 0
    assert found["borderpost_decision_seconds_bucket{le=0.0005}"] == 1


def test_an_instance_holds_its_instruments_as_plain_attributes() -> None:
    m = local_metrics()
    assert m.decisions_total is m.decisions_total
    assert m.__dict__["decisions_total"] is m.decisions_total
    assert Metrics.decisions_total.spec is METRICS["borderpost_decisions_total"]


def test_a_process_has_only_its_own_metrics() -> None:
    steward = steward_metrics()
    steward.worker_up.set(1, "0")
    with pytest.raises(AttributeError, match="belongs to the worker"):
        steward.decisions_total.inc("routed", "ok")


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match="takes the labels"):
        local_metrics().decisions_total.inc("routed")


def test_label_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "METRIC_LABEL_VALUES_MAX", 3)
    m = local_metrics()
    for n in range(10):
        m.routed_total.inc(f"r{n}")
        m.routed_total.inc("r0")
    found = samples(exposition(m))
    assert {k: v for k, v in found.items() if "routed" in k} == {
        "borderpost_routed_total{region=r0}": 11,
        "borderpost_routed_total{region=r1}": 1,
        "borderpost_routed_total{region=r2}": 1,
        "borderpost_routed_total{region=other}": 7,
    }


def test_combinations_of_labels_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "METRIC_LABEL_VALUES_MAX", 4)
    m = local_metrics()
    for a in range(4):
        for b in range(4):
            m.decisions_total.inc(f"o{a}", f"r{b}")
    found = [k for k in samples(exposition(m)) if k.startswith("borderpost_decisions_total")]
    assert len(found) == 5
    assert m.decisions_total.get("other", "other") == 12


def test_the_bound_is_the_registered_limit() -> None:
    assert instruments.METRIC_LABEL_VALUES_MAX == limits.METRIC_LABEL_VALUES_MAX


def test_set_only_forgets_what_is_no_longer_in_force() -> None:
    m = steward_metrics()
    m.policy_info.set_only(1, "aa")
    m.policy_info.set_only(1, "bb")
    assert [k for k in samples(exposition(m)) if "policy_info" in k] == ["borderpost_policy_info{digest=bb}"]


def test_workers_are_joined_and_their_counts_outlive_them(tmp_path: Path) -> None:
    worker(
        tmp_path, 0, "m.decisions_total.inc('routed', 'ok', by=5); m.audit_pending.set(2); m.snapshot_generation.set(7)"
    )
    worker(
        tmp_path, 1, "m.decisions_total.inc('routed', 'ok', by=3); m.audit_pending.set(1); m.snapshot_generation.set(9)"
    )
    worker(tmp_path, 0, "m.decisions_total.inc('routed', 'ok')")
    steward = steward_metrics()
    steward.worker_up.set(1, "0")
    found = samples(exposition(steward, tmp_path))
    assert found["borderpost_decisions_total{outcome=routed,reason=ok}"] == 9
    assert found["borderpost_audit_pending{}"] == 1  # worker 0 started again and has none pending
    assert found["borderpost_worker_up{worker=0}"] == 1
    assert len(list(tmp_path.glob("counter_*.db"))) == 2
    forget_worker(1, tmp_path)
    found = samples(exposition(steward, tmp_path))
    assert found["borderpost_audit_pending{}"] == 0
    assert found["borderpost_decisions_total{outcome=routed,reason=ok}"] == 9


def test_histograms_of_workers_are_added(tmp_path: Path) -> None:
    for index in (0, 1):
        worker(tmp_path, index, "m.decision_seconds.observe(0.0003); m.decision_seconds.observe(3.0)")
    found = samples(exposition(steward_metrics(), tmp_path))
    assert found["borderpost_decision_seconds_count{}"] == 4
    assert found["borderpost_decision_seconds_bucket{le=0.0005}"] == 2
    assert found["borderpost_decision_seconds_sum{}"] == pytest.approx(6.0006)


def test_a_worker_killed_amid_counting_leaves_what_it_flushed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nimport sys\nfrom borderpost_base.metrics import worker_metrics\n"
        f"m = worker_metrics(0, Path({str(tmp_path)!r}))\n"
        "for _ in range(100): m.routed_total.inc('eu')\nm.flush()\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.kill()
    assert samples(exposition(steward_metrics(), tmp_path))["borderpost_routed_total{region=eu}"] == 100


def test_the_files_of_an_earlier_run_are_cleared(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    clear_directory(directory)
    worker(directory, 0, "m.routed_total.inc('eu')")
    (directory / "keep.txt").write_text("not ours")
    clear_directory(directory)
    assert [left.name for left in directory.iterdir()] == ["keep.txt"]
    assert "routed" not in exposition(steward_metrics(), directory).decode()


@pytest.mark.parametrize("value", [0.0, 50e-6, 51e-6, 0.9, 7.0])
def test_equal_observations_at_once_are_the_same_as_one_by_one(value: float) -> None:
    at_once, one_by_one = local_metrics(), local_metrics()
    at_once.decision_seconds.observe(value, times=3)
    for _ in range(3):
        one_by_one.decision_seconds._child(()).observe(value)  # prometheus_client's own
    left, right = samples(exposition(at_once)), samples(exposition(one_by_one))
    sums = (left.pop("borderpost_decision_seconds_sum{}"), right.pop("borderpost_decision_seconds_sum{}"))
    assert left == right
    assert sums[0] == pytest.approx(sums[1])
    assert left["borderpost_decision_seconds_count{}"] == 3
