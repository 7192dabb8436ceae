"""What is sent to one server, and what becomes of its replies: batches gathered, sent, counted or sent again.

Several batches may be on their way. What is asked while a server has enough of them is gathered into one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import hiredis

from borderpost_base.limits import LIMITER_COUNTERS_KNOWN_MAX
from borderpost_base.memo import Remembered
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.link import Link, packed
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.plain import PLAIN_MAX, Known, Plain
from borderpost_ratelimit.stores.redis.replies import AWAY, ELSEWHERE, MOVED_AWAY, SPOILT, unanswered, word_of
from borderpost_ratelimit.stores.redis.script import DIGEST, SCRIPT

STALE_US: Final = 1_000_000
"""How long after it was made a batch may be counted. A server that was stopped, or the network before it, reads later
what had been sent to it: those requests had other answers long ago, and may belong to a window that is over."""
_STALE: Final = Unanswered("timeout", "the server read it too late, and did not count it")
SENT_MAX: Final = 5
"""How often a batch is sent: to a server that has forgotten the script, or to where it was sent on to."""

TIME_AGAIN_US: Final = 250_000
"""How long the server's time is taken to go on as it did, where no script call tells it."""
FLIGHTS: Final = 2
"""Batches on their way at which the next requests are gathered until a reply has come. A server counts one batch at a
time, so the second waits there for the first: more of them make no answer come sooner, and each costs the server a read
and a write, as much as some five requests."""
FULL: Final = 16
"""Requests that are sent without waiting for a reply."""
FLIGHTS_MAX: Final = 256
"""Batches on their way at which nothing is sent."""


class Sender:
    """Batches on their way to one server."""

    def __init__(
        self, names: Names, mono_us: Callable[[], int], moved: Callable[[Batch, str], None] | None = None
    ) -> None:
        """`moved` takes batches that the server of a Cluster does not count, and its reply."""
        self._names = names
        self._mono_us = mono_us
        self._moved = moved
        self._flights = FLIGHTS if moved is None else FLIGHTS_MAX
        self._plain_max = PLAIN_MAX if moved is None else 1  # of several, one could be sent on and another not
        self._offset_us = 0
        self._open: dict[int, Batch] = {}
        self._flying = 0
        self._known: Known = Remembered(LIMITER_COUNTERS_KNOWN_MAX)
        self._told_at_us = 0
        self._link: Link | None = None
        self._why = AWAY
        self.reloads = 0
        """How often the server had forgotten the script."""

    @property
    def connected(self) -> bool:
        """Return whether there is a connection that may be used."""
        return self._link is not None

    def now_us(self) -> int:
        """Return the server's wall clock, as far as its replies have told it."""
        return self._mono_us() + self._offset_us

    def learn_time(self, server_us: int) -> None:
        """Take in what the server's wall clock says now."""
        self._told_at_us = self._mono_us()
        self._offset_us = server_us - self._told_at_us

    def use(self, link: Link) -> None:
        """Send over this connection from now on."""
        self._link = link

    def drop(self, why: Unanswered) -> None:
        """Have no connection any more; what is gathered and what comes is answered so."""
        self._link = None
        self._why = why
        self.push()

    def gather(self, slot: int, told_us: int, now_us: int = 0) -> Batch:
        """Return the batch of a Cluster's slot that is sent next, to add requests to and then `push`.

        `told_us` is what the script takes for the time, 0 for the server's own; `now_us` the time by which windows are
        named, 0 for the server's own as far as it is known.
        """
        batch = self._open.get(slot)
        if batch is not None and (batch.told_us != told_us or (now_us and batch.now_us != now_us)):
            del self._open[slot]
            self.send(batch)
            batch = None
        if batch is None:
            server_us = self.now_us()
            batch = self._open[slot] = Batch(self._names, slot, told_us or now_us or server_us, told_us)
            batch.made_us, batch.latest_us = server_us - self._offset_us, server_us + STALE_US
        return batch

    def push(self) -> None:
        """Send what was gathered: at once, or with the next reply where the server has enough to do."""
        while self._open:
            slot, batch = next(iter(self._open.items()))
            flying = self._flying if self._link is not None else 0
            if flying >= self._flights and (flying >= FLIGHTS_MAX or len(batch.asked) < FULL):
                return
            del self._open[slot]
            self.send(batch)

    def send(self, batch: Batch, *, asking: bool = False) -> None:
        """Have a batch counted now. `asking`: its slot is on its way here (ASK)."""
        link = self._link
        if link is None or batch.sent >= SENT_MAX:
            batch.fail(self._why if link is None else SPOILT)
            return
        if asking:
            link.send(packed("ASKING"), _ignore)
        if batch.sent:
            batch.latest_us = batch.made_us + self._offset_us + STALE_US  # by the clock of who gets it now
        batch.sent += 1
        self._flying += 1
        if batch.is_plain and not asking and 0 < batch.counters <= self._plain_max:
            self._send_plainly(batch, link)
        else:
            link.send(packed(b"EVALSHA", DIGEST, *batch.arguments()), lambda reply: self._take(batch, reply, link))

    def _send_plainly(self, batch: Batch, link: Link) -> None:
        plain = Plain(batch, self._known, ask_time=self._mono_us() - self._told_at_us > TIME_AGAIN_US)

        def take(reply: object) -> None:
            if plain.ended:
                return
            if isinstance(reply, Unanswered):
                plain.ended = True
                self._take(batch, reply, link)
            elif plain.take(reply):
                self._take_plain(plain, link)

        link.send(plain.commands, take, plain.count)

    def _take_plain(self, plain: Plain, link: Link) -> None:
        batch, counts = plain.batch, plain.counts()
        told_us = plain.told_time_us()
        if told_us:
            self.learn_time(told_us)
        if len(counts) == 1 and isinstance(counts[0], hiredis.ReplyError):
            self._take(batch, counts[0], link)
            return
        for command in plain.mortal(counts):
            link.send(command, _ignore)
        self._take(batch, [batch.told_us or self.now_us(), *counts], link, plainly=True)

    def _take(self, batch: Batch, reply: object, link: Link, *, plainly: bool = False) -> None:
        self._flying -= 1
        if isinstance(reply, hiredis.ReplyError):
            self._refused(batch, reply, link)
        elif isinstance(reply, Unanswered):
            batch.fail(reply)
        else:
            now_us = batch.answer(reply)
            if now_us and not batch.told_us and not plainly:
                self.learn_time(now_us)
            if batch.refused is not None and word_of(batch.refused) in MOVED_AWAY:
                link.close(unanswered(batch.refused))
        if self._open:
            self.push()

    def _refused(self, batch: Batch, error: hiredis.ReplyError, link: Link) -> None:
        """Take an error reply to a whole script call: nothing of it was counted."""
        word = word_of(error)
        if word == "NOSCRIPT" and batch.sent < SENT_MAX:
            self.reloads += 1
            batch.sent += 1
            self._flying += 1
            link.send(packed(b"EVAL", SCRIPT, *batch.arguments()), lambda again: self._take(batch, again, link))
        elif word == "STALE":
            self._stale(batch, error)
        elif word in ELSEWHERE and self._moved is not None:
            self._moved(batch, str(error))
        else:
            why = unanswered(error)
            batch.fail(why)
            if word in MOVED_AWAY:
                link.close(why)

    def _stale(self, batch: Batch, error: hiredis.ReplyError) -> None:
        """Learn the server's time; send the batch again if it is not late, but the server's clock was set."""
        told = str(error).split(" ")[1:]
        if len(told) != 1 or not (told[0].isascii() and told[0].isdecimal()):
            batch.fail(SPOILT)
            return
        self.learn_time(int(told[0]))
        if self._mono_us() - batch.made_us < STALE_US:
            self.send(batch)
        else:
            batch.fail(_STALE)


def _ignore(reply: object) -> None:
    """Take the reply to a command whose failure the next reply shows."""
