"""The limiter's own record: which requests its limits refused, under the decision id that let each pass before.

A refusal has a record of its own, of a fixed size and without any value of the request, up to a bound a second. What is
beyond, or finds the log unwilling, is counted by rule, and a record of several (`limit.refusals`) tells it within a
second, or once the log takes records again. So whoever floods a limit cannot flood the disk, and the sum over all
records is the number of refusals.

    refused ─▶ room in this second ─▶ chained ─▶ durable ─▶ Envoy is told
                        └▶ counted ─▶ Envoy is told    └▶ not within 15 ms: Envoy is told all the same
                              └▶ a record of several, a second later

Unlike a route, a refusal does not hang on its record: a disk that hangs would otherwise hold it back until Envoy gives
up, which lets the request pass where an operator has chosen that.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from borderpost.audit.batch import AuditUnavailable
from borderpost.audit.committer import Commit
from borderpost.audit.config import AuditSpec
from borderpost.audit.fields import check_given
from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import format_stamp
from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.profile import encode
from borderpost.audit.record import DECISION_ID
from borderpost.record_keeper import RecordKeeper
from borderpost_base import limits
from borderpost_base.logs import get_logger
from borderpost_base.memo import Remembered
from borderpost_base.metrics import Metrics
from borderpost_base.world import World
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.refusals import Refusal

STREAM: Final = "limiter"
"""Name of the limiter's audit stream; a successor's, while both run, has a number behind it."""
_MEANWHILE: Final = "refusals of limits stand without a record"
"""What it means for requests that the stream takes none."""
OTHER: Final = "other"
"""Stands for the rules beyond those that one record names."""
_PREPARED_MAX = 4096
_UNRECORDABLE = re.compile(r"[^ !#-\[\]-~]")
_SECOND_US = 1_000_000

Released = Callable[[bool], None]


class RecordedRefusals:
    """A log of refusals on an audit stream (`borderpost_ratelimit.refusals.RefusalLog`). Made and used on its loop."""

    def __init__(
        self, spec: AuditSpec, world: World, metrics: Metrics, *, stream: int = 0, in_batches: bool = False,
        singly_s_max: int = limits.REFUSALS_RECORDED_S_MAX, wait_ms_max: int = limits.REFUSAL_RECORD_WAIT_MS_MAX,
        sum_up_s: float = 1.0,
    ) -> None:  # fmt: skip
        """`stream` tells the streams of a limiter and its successor apart; `in_batches` says that the engine hands over
        what arrives in one turn together. `singly_s_max` bounds the records a second, `wait_ms_max` how long a refusal
        waits for its own; what is only counted is recorded after `sum_up_s`."""
        self._inputs = InputStore(spec.directory, world)
        self._in_batches = in_batches
        self._keeper = RecordKeeper(
            stream=f"{STREAM}-{stream}" if stream else STREAM, spec=spec, inputs=self._inputs, world=world,
            unavailable=metrics.limiter_audit_unavailable, on_commit=_counting_commits(metrics), meanwhile=_MEANWHILE,
        )  # fmt: skip
        self._world = world
        self._metrics = metrics
        self._singly_s_max = singly_s_max
        self._wait_s_max = wait_ms_max / 1e3
        self._sum_up_s = sum_up_s
        self._loop = asyncio.get_running_loop()
        self._prepared: Remembered[tuple[object, ...], PreparedRecord] = Remembered(_PREPARED_MAX)
        self._second = -1
        self._left = 0
        self._sum = Sum()
        self._summing: asyncio.TimerHandle | None = None
        self._log = get_logger("refusals")

    def refused(self, refusals: Sequence[Refusal], at_us: int, released: Released) -> None:
        """Record refusals of one turn (see `RefusalLog.refused`)."""
        mono_us = self._world.clock.mono_us()
        singly = refusals[: self._room(mono_us)]
        self._left -= len(singly)
        flood = refusals[len(singly) :]
        taken = self._chain(singly, at_us, mono_us) if singly else 0
        untaken = singly[taken:]
        self._count(flood, untaken, at_us)
        if not taken:
            released(not untaken)
            return
        waiting = _Waiting(self, singly[:taken], at_us, released, complete=not untaken)
        self._keeper.when_durable(waiting.settle)
        if not waiting.released:
            waiting.timer = self._loop.call_later(self._wait_s_max, waiting.be_late)

    @property
    def available(self) -> bool:
        """Return whether what is refused now can be recorded."""
        return self._keeper.available

    def open_soon(self) -> None:
        """Begin to open the stream, and go on trying until it is open."""
        self._keeper.open_soon(in_loop=self._in_batches, kernel_sync=True)

    async def stop(self, *, within_s: float) -> None:
        """Record what is only counted so far, and close the stream in order."""
        self._wait_no_more()
        self._sum_up()
        self._wait_no_more()
        if self._sum.count:
            self._log.error("the log takes no records: refusals end uncounted", refusals=self._sum.count)
        await self._keeper.stop(within_s=within_s)

    def store(self, book: Book) -> None:
        """Store what limits files say, so that records can name them. Waits for the disk, on any thread; a disk that
        does not take them leaves them unnamed."""
        try:
            self._inputs.put(book.content)
        except OSError as error:
            self._log.error("limits files cannot be stored: no record will name them", error=str(error))

    def in_force(self, book: Book) -> None:
        """Have a record say, before the next refusal, that these limits are in force."""
        digest = f"sha256:{book.digest}"
        if self._inputs.has(digest):
            self._keeper.announce("limits", "limits.activate", {"digest": digest, "domains": len(book.domains)})
            self._keeper.say(self._world.now_us())

    def lost(self, refusals: Sequence[Refusal], at_us: int) -> None:
        """Count refusals whose records were chained and never became durable."""
        self._count((), refusals, at_us)

    def _room(self, mono_us: int) -> int:
        second = mono_us // _SECOND_US
        if second != self._second:
            self._second, self._left = second, self._singly_s_max
        return self._left

    def _chain(self, refusals: Sequence[Refusal], at_us: int, mono_us: int) -> int:
        """Chain a record for each and return for how many the log had room."""
        try:
            entries = [(self._prepare(refusal), _request(refusal.request)) for refusal in refusals]
            taken = len(self._keeper.chain(entries, at_us=at_us, mono_us=mono_us))
        except AuditUnavailable:
            return 0
        except Exception:  # noqa: BLE001 - the requests are refused whatever becomes of their record
            self._log.exception("refusals could not be recorded")
            return 0
        self._metrics.limiter_refusals_recorded_total.inc("singly", by=taken)
        return taken

    def _prepare(self, refusal: Refusal) -> PreparedRecord:
        key = refusal[2:]
        prepared = self._prepared.get(key)
        if prepared is None:
            own: dict[str, Any] = {
                "rule": recorded_rule(refusal.rule),
                "algorithm": refusal.algorithm,
                "amount": refusal.amount,
                "window_us": refusal.window_us,
                "source": refusal.source.value,
            }
            check_given("limit.refuse", own)
            prepared = self._keeper.prepare(own, "limit.refuse")
            self._prepared.put(key, prepared)
        return prepared

    def _count(self, flood: Sequence[Refusal], untaken: Sequence[Refusal], at_us: int) -> None:
        if not flood and not untaken:
            return
        self._metrics.limiter_refusals_recorded_total.inc("counted", by=len(flood))
        self._metrics.limiter_refusals_recorded_total.inc("untaken", by=len(untaken))
        self._sum.add(flood, untaken, at_us)
        self._sum_up_soon()

    def _wait_no_more(self) -> None:
        if self._summing is not None:
            self._summing.cancel()
            self._summing = None

    def _sum_up_soon(self) -> None:
        if self._summing is None:
            self._summing = self._loop.call_later(self._sum_up_s, self._sum_up)

    def _sum_up(self) -> None:
        """Chain a record of what is only counted so far; what the log does not take stays counted."""
        self._summing = None
        told = self._sum
        if not told.count:
            return
        if not self._keeper.available:
            self._sum_up_soon()
            return
        try:
            self._keeper.append("limit.refusals", told.fields(), at_us=self._world.now_us())
        except AuditUnavailable:
            self._sum_up_soon()
            return
        except Exception:  # noqa: BLE001 - it is tried again: what was counted must not be forgotten
            self._log.exception("the sum of refusals could not be recorded")
            self._sum_up_soon()
            return
        self._sum = Sum()
        self._keeper.when_durable(lambda durable: None if durable else self._put_back(told))

    def _put_back(self, told: Sum) -> None:
        told.join(self._sum)
        self._sum = told
        self._sum_up_soon()

    def be_late(self, count: int) -> None:
        """Note that Envoy is told before these records are durable."""
        self._metrics.limiter_refusals_late_total.inc(by=count)


class Sum:
    """Refusals that are only counted, until a record tells them."""

    def __init__(self) -> None:
        self.flood = 0
        self.untaken = 0
        self._since_us = 0
        self._rules: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Return how many there are."""
        return self.flood + self.untaken

    def add(self, flood: Sequence[Refusal], untaken: Sequence[Refusal], at_us: int) -> None:
        """Count refusals of one instant."""
        if not self.count:
            self._since_us = at_us
        self.flood += len(flood)
        self.untaken += len(untaken)
        self._count_rules([(refusal.rule, 1) for refusal in (*flood, *untaken)])

    def join(self, later: Sum) -> None:
        """Count what another counted after this one."""
        self.flood += later.flood
        self.untaken += later.untaken
        self._count_rules(later._rules.items())

    def fields(self) -> dict[str, Any]:
        """Return the own fields of a `limit.refusals` record."""
        rules: dict[str, int] = {}
        for rule, count in self._rules.items():
            name = recorded_rule(rule)
            rules[name] = rules.get(name, 0) + count
        since = format_stamp(self._since_us)
        return {"since": since, "count": self.count, "rules": rules, "flood": self.flood, "untaken": self.untaken}

    def _count_rules(self, counted: Iterable[tuple[str, int]]) -> None:
        rules = self._rules
        for rule, count in counted:
            # One name is kept for the rest.
            named = rule if rule in rules or len(rules) < limits.RECORDED_RULES_MAX - 1 else OTHER
            rules[named] = rules.get(named, 0) + count


class _Waiting:
    """Refusals of one turn whose records are chained and not durable yet."""

    __slots__ = ("_at_us", "_complete", "_log", "_refusals", "_release", "released", "timer")

    def __init__(
        self, log: RecordedRefusals, refusals: Sequence[Refusal], at_us: int, release: Released, *, complete: bool
    ) -> None:
        self._log = log
        self._refusals = refusals
        self._at_us = at_us
        self._release = release
        self._complete = complete
        """Whether all of their turn were chained, or counted for want of room."""
        self.released = False
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, durable: bool) -> None:
        """Take what became of the records."""
        if self.timer is not None:
            self.timer.cancel()
        if not durable:
            self._log.lost(self._refusals, self._at_us)
        if not self.released:
            self.released = True
            self._release(durable and self._complete)

    def be_late(self) -> None:
        """Let the refusals go: the disk has not answered in time."""
        self.timer = None
        self.released = True
        self._log.be_late(len(self._refusals))
        self._release(False)


def _counting_commits(metrics: Metrics) -> Callable[[Commit], None]:
    """Return what counts the limiter's commits."""

    def count(commit: Commit) -> None:
        if commit.fault is None:
            metrics.limiter_audit_commit_seconds.observe(commit.took_us / 1e6)

    return count


def recorded_rule(path: str) -> str:
    """Return a rule's place as records hold it: visible ASCII, and where it is too long cut, with its hash."""
    told = _UNRECORDABLE.sub("?", path)
    if told == path and len(told) <= limits.RECORDED_RULE_BYTES_MAX:
        return told or "?"
    digest = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{told[: limits.RECORDED_RULE_BYTES_MAX - len(digest) - 1]}~{digest}"


def _request(name: str) -> bytes:
    """Return the canonical JSON of a record's `req`."""
    if DECISION_ID.fullmatch(name) is not None:
        return b'{"decision":"%b"}' % name.encode()
    return encode({"name": name} if name else {})
