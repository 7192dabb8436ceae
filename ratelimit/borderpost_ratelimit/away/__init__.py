"""What holds while the store of counters does not answer: a store that wraps a store, and never lets a request wait."""

from borderpost_ratelimit.away.breaker import AwaySettings, State
from borderpost_ratelimit.away.guarded import Guarded

__all__ = ["AwaySettings", "Guarded", "State"]
