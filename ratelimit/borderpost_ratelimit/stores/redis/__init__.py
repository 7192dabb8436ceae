"""Counters in Redis or Valkey: one script a loop turn counts all requests of the turn, in one round trip.

store.py     RedisStore: what a turn's requests become, and when they are sent
batch.py     requests to a script call, its reply to verdicts; no I/O
take.lua     the script
names.py     what a counter is called in the server
server.py    one server: its connection kept, its clock learnt, its script loaded
link.py      one connection: bytes out, replies in
replies.py   what an error reply means
"""
