"""Review dates of packs: law that nobody has read again in time is told of, day by day, louder after a while.

A pack past its date goes on deciding. To refuse because of it would stop what was lawful yesterday for a date in a
file; to say nothing would let it grow old unseen.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from borderpost.health import Check, Outcome
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.pack import Metadata
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics

_DAY: Final = timedelta(days=1)


class Reviews:
    """Tells of packs past their date, once a day and when the law changes. Used on the steward's loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: tuple[date, PolicyBundle] | None = None
        self._overdue: dict[str, BorderpostError] = {}
        self._log = get_logger("reviews")

    def look(self, bundle: PolicyBundle, *, grace_days: int, now_us: int) -> None:
        """Look at the dates of the packs in force. Past `grace_days` what was a warning is an error."""
        today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
        if self._told is not None and self._told[0] == today and self._told[1] is bundle:
            return
        self._told = (today, bundle)
        gone = self._overdue.keys() - {pack.metadata.id for pack in bundle.packs}
        for name in gone:
            self._metrics.pack_review_overdue_days.set(0, name)
        self._overdue = {}
        for metadata in (pack.metadata for pack in bundle.packs):
            days = overdue_days(metadata, today)
            if metadata.review_by is not None:
                self._metrics.pack_review_overdue_days.set(days, metadata.id)
            if days:
                self._tell(metadata, days, late=days > grace_days)

    def _tell(self, metadata: Metadata, days: int, *, late: bool) -> None:
        detail = f"pack `{metadata.id}` {metadata.version} was to be reviewed by {metadata.review_by}, {days} days ago"
        error = self._overdue[metadata.id] = BorderpostError("BP0612", detail)
        tell = self._log.error if late else self._log.warning
        tell(error.spec.title, **error.as_dict())

    def checks(self) -> list[Check]:
        """Return a warning for each pack past its date."""
        return [
            Check(f"pack/{name}", Outcome.WARNING, f"{error.code} {error.detail}")
            for name, error in sorted(self._overdue.items())
        ]


def overdue_days(metadata: Metadata, today: date) -> int:
    """Return how many days ago a pack was to be reviewed; 0 on the day itself, before it, and without one."""
    return max(0, (today - metadata.review_by) // _DAY) if metadata.review_by is not None else 0
