"""The load harness: figures as ratios against a named rival or limit, and every answer held against the log.

scenarios.py   what can be measured        stage.py     what is started for it
traffic.py     who asks, what is lawful    load.py      how they are made to ask
measure.py     one measurement             check.py     was every answer legal and on record
rivals.py      programs in Go, built      streams.py    asking as Envoy does, without it
pins.py        which core runs what
cpu.py         what it cost                report.py    medians, ratios, JSON, Markdown
"""
