"""What is taken up: files that lie still, refusals that stay in sight, review dates, and how health says all that."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.admin.app import make_app
from borderpost.config.packs import built_in_packs
from borderpost.health import Check, Outcome
from borderpost.policy.bundle import PolicyBundle, build_bundle
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import Here
from borderpost.reviews import Reviews
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost.watch import FileWatch
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from support.asgi import asked, no_metrics

DAY_US = 86_400_000_000


def test_a_file_counts_once_it_lies_still(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("one")
    watch = FileWatch([file, other])
    assert not watch.changed()
    for text in ("t", "tw", "two"):  # somebody is writing
        file.write_text(text)
        assert not watch.changed()
    assert watch.changed()
    watch.take([file, other])
    assert not watch.changed()
    other.write_text("there")
    assert [watch.changed() for _ in range(3)] == [False, True, True]
    watch.take([file, other])
    other.unlink()
    assert [watch.changed() for _ in range(2)] == [False, True]


def test_a_file_replaced_or_put_back_by_another_is_noticed(tmp_path: Path) -> None:
    file, fresh = tmp_path / "a", tmp_path / "fresh"
    for path in (file, fresh):
        path.write_text("same")
    watch = FileWatch([file])
    fresh.replace(file)
    assert [watch.changed() for _ in range(2)] == [False, True]
    link = tmp_path / "link"
    link.symlink_to(file)
    watch = FileWatch([link])
    fresh.write_text("same")
    link.unlink()
    link.symlink_to(fresh)  # as a mounted ConfigMap does
    assert [watch.changed() for _ in range(2)] == [False, True]


def test_files_added_to_a_watch_leave_the_others_as_they_were_taken(tmp_path: Path) -> None:
    file, pack = tmp_path / "a", tmp_path / "pack"
    file.write_text("one")
    watch = FileWatch([file])
    file.write_text("changed before the pack was known")
    watch.add([file, pack])
    assert [watch.changed() for _ in range(2)] == [False, True]


def test_a_refusal_stays_in_sight_until_something_is_taken() -> None:
    metrics = local_metrics()
    uptake = Uptake(UptakeMetrics.of_steward(metrics), World())
    uptake.begins("config")
    assert uptake.checks() == []
    assert metrics.reload_total.get("config", "taken") == 0
    assert metrics.reload_taken_timestamp_seconds.get("config") > 0
    older = [BorderpostError("BP0610", "pack `a` is older"), BorderpostError("BP0104", "and this")]
    with capture_logs() as told:
        assert list(uptake.refused("config", Problems(older))) == older
    assert [line["code"] for line in told] == ["BP0610", "BP0104"]
    (check,) = uptake.checks()
    assert (check.name, check.outcome) == ("config/current", Outcome.WARNING)
    assert "BP0610 pack `a` is older (and 1 more)" in check.detail
    assert metrics.reload_stale.get("config") == 1
    assert metrics.rollback_refused_total.get("config") == 1
    uptake.taken("config", anew=False)
    assert uptake.checks() == []
    assert metrics.reload_stale.get("config") == 0
    assert metrics.reload_total.get("config", "taken") == 0
    uptake.taken("config")
    assert metrics.reload_total.get("config", "taken") == 1


def pack(review_by: str | None, name: str) -> PolicyPack:
    (starter,) = built_in_packs("base")
    date = datetime.date.fromisoformat(review_by) if review_by else None
    metadata = starter.metadata.model_copy(update={"review_by": date, "id": name})
    return starter.model_copy(update={"metadata": metadata})


def bundle(review_by: str | None, *, name: str = "base") -> PolicyBundle:
    return build_bundle(here=Here(country="DE"), packs=[pack(review_by, name)])


def us(day: str, hour: int = 0) -> int:
    instant = datetime.datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00")
    return round(instant.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("today", "overdue", "level"),
    [
        ("2026-03-01", 0, None),
        ("2026-03-02", 1, "warning"),
        ("2026-03-11", 10, "warning"),
        ("2026-03-12", 11, "error"),
    ],
)
def test_a_pack_past_its_review_date_warns_and_then_alarms(today: str, overdue: int, level: str | None) -> None:
    metrics = local_metrics()
    reviews = Reviews(metrics)
    with capture_logs() as told:
        reviews.look(bundle("2026-03-01"), grace_days=10, now_us=us(today, 23))
    assert [(line["log_level"], line["code"]) for line in told] == ([(level, "BP0612")] if level else [])
    assert metrics.pack_review_overdue_days.get("base") == overdue
    assert [check.outcome for check in reviews.checks()] == ([Outcome.WARNING] if level else [])


def test_reviews_are_told_once_a_day_and_when_the_law_changes() -> None:
    metrics = local_metrics()
    reviews = Reviews(metrics)

    def lines(law: PolicyBundle, now_us: int) -> int:
        with capture_logs() as told:
            reviews.look(law, grace_days=0, now_us=now_us)
        return len(told)

    law = bundle("2026-03-01")
    assert [lines(law, us("2026-03-05", hour)) for hour in (0, 1, 23)] == [1, 0, 0]
    assert lines(law, us("2026-03-06")) == 1
    assert lines(bundle("2026-03-01"), us("2026-03-06")) == 1
    assert lines(bundle(None), us("2026-03-06")) == 0
    assert reviews.checks() == []
    lines(law, us("2026-03-06"))
    assert metrics.pack_review_overdue_days.get("base") == 5
    lines(bundle(None, name="another"), us("2026-03-06"))
    assert metrics.pack_review_overdue_days.get("base") == 0


@pytest.mark.parametrize(
    ("checks", "status", "text"),
    [
        ([Check.that("a", True, "fine")], 200, "ok\n"),
        ([Check("b", Outcome.WARNING, "look")], 200, "ok\nwarning: b: look\n"),
        ([Check.that("a", False, "down"), Check("b", Outcome.WARNING, "look")], 503, "a: down\nwarning: b: look\n"),
    ],
)
def test_health_lists_warnings_and_stays_ready(checks: list[Check], status: int, text: str) -> None:
    app = make_app(checks=lambda: checks, metrics=no_metrics)
    assert asked(app, "/readyz") == (status, text.encode())
    verbose = json.loads(asked(app, "/readyz?verbose")[1])
    assert verbose["ready"] is (status == 200)
    assert verbose["checks"] == [{"name": c.name, "outcome": c.outcome.value, "detail": c.detail} for c in checks]
