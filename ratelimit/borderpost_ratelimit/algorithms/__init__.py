"""How limits count: one module an algorithm, its formulas first, then what counts by them. No I/O, no clock.

Other stores mirror these formulas, so the arithmetic is one that Python and Lua share: integers below 2^53, and one
product of IEEE doubles (`sliding_window.weighted`). What holds for all of them:

* A counter's values saturate at `numbers.COUNT_MAX` and never fall below zero.
* A charge of 0 charges nothing. It asks whether room for one is left; on a fixed window, as in envoyproxy/ratelimit,
  whether the counter is already beyond the limit.
* A limit of 0 lets nothing pass.
* A clock that steps back by a window at most is taken to stand still until it has caught up, so nobody gains by it. If
  it steps back further, what was counted stays and counts from the new time, so nobody is locked out by it.
* What a request that is over would have used is not charged, but for fixed windows.
"""
