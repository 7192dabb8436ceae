"""Errors of area 15: what keeps `borderpost doctor` from examining a configuration."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1501",
        "a configuration of Envoy is too large",
        "The dump or bootstrap has more bytes than are read of any (`config_dump_bytes_max`).",
        "Dump one Envoy, without `resource=` filters that repeat parts; a gateway of 1,000 hosts has some 20 MiB.",
    ),
    ErrorSpec(
        "BP1502",
        "a configuration of Envoy cannot be parsed",
        "The file is cut short, is nested too deep, or is neither JSON nor YAML.",
        "Take the dump again: `curl -s localhost:9901/config_dump?include_eds > dump.json`.",
    ),
    ErrorSpec(
        "BP1503",
        "not a configuration of Envoy",
        "A bootstrap has `static_resources`, `dynamic_resources` or `admin`; a config dump has `configs`.",
        "Name a bootstrap by --bootstrap and a dump by --dump; Kubernetes manifests are named without an option.",
    ),
    ErrorSpec(
        "BP1504",
        "not an admin address of this machine",
        "Envoy's admin interface has no authentication, so it is only asked on loopback or through a Unix socket.",
        "Give host:port of this machine (`kubectl port-forward` makes one), or an absolute path, or use --dump.",
    ),
    ErrorSpec(
        "BP1505",
        "Envoy's admin interface gave no dump",
        "Nobody listens there, the answer was not 200, or it did not end in time.",
        "Check the address; on Istio it is 127.0.0.1:15000 inside the gateway's pod.",
    ),
    ErrorSpec(
        "BP1506",
        "a rule of the doctor that nobody knows",
        "An option or a suppression names a rule that does not exist, so what was meant would not happen.",
        "`borderpost doctor --list` names all rules.",
    ),
    ErrorSpec(
        "BP1507",
        "a suppression cannot be read",
        "The file has a list `ignore`, each entry with `rule`, `reason` and, if not for all, `subject` or `file`.",
        "Write for instance `- {rule: BPD034, subject: cluster eu-*, reason: two halls of one building}`.",
    ),
    ErrorSpec(
        "BP1508",
        "nothing to examine",
        "Neither an admin address, a dump, a bootstrap nor a path was given.",
        "Name one, such as `--admin 127.0.0.1:9901`.",
    ),
    ErrorSpec(
        "BP1509",
        "a suppression suppresses nothing",
        "No finding has this rule and subject: it was mended, or the suppression never fitted.",
        "Take the entry out.",
    ),
)
