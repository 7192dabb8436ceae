"""The load harness: figures as ratios against a named rival or limit, and every answer held against the log.

scenarios.py   one server under one load   experiment.py  anything else, with figures of its own
targets.py     what must be reached        experiments.py which there are
plan.py        what a run measures         rounds.py     all of it, round after round
traffic.py     who asks, what is lawful    load.py      how they are made to ask
stage.py       what is started             streams.py   asking as Envoy does, without it
measure.py     one measurement             check.py     was every answer legal and on record
rivals.py      programs in Go, built       pins.py      which core runs what
cpu.py         what it cost                spread.py    a figure over several rounds
report.py      medians, ratios, JSON       table.py     Markdown
"""
