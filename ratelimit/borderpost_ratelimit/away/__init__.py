"""What holds while the store of counters does not answer: a store that wraps a store, and never lets a request wait."""

from borderpost_ratelimit.away.breaker import AwaySettings, State
from borderpost_ratelimit.away.by_server import GuardedServers
from borderpost_ratelimit.away.guarded import Guarded
from borderpost_ratelimit.away.standing import Standing

__all__ = ["AwaySettings", "Guarded", "GuardedServers", "Standing", "State"]
