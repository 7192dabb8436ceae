"""Counters in Redis or Valkey: all requests of a loop turn are counted in one round trip, by one script call, or by a
few plain commands where that is less.

store.py        RedisStore: what a turn asks goes to the servers, what is known to be over does not
servers.py      which server counts what: one, by Sentinels or not, or those of a Cluster by slot
server.py       one server: its connection kept, its clock learnt, its script loaded, its batches sent
batch.py        requests to a script call, its reply to verdicts; no I/O
single.py       the same for one charge that is no addition
take.lua        the script
names.py        what a counter is called
near_cache.py   what is over, until it may not be
turn.py         who waits for a turn's answers
connecting.py   how a connection is made
link.py         one connection: bytes out, replies in
replies.py      what an error reply means
sentinel.py     where the primary is
slots.py        a Cluster's slots
"""
