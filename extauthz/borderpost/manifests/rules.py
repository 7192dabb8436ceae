"""What `policy check` can find: every kind once, with its reason and its mend. Guide and SARIF are made from it."""

from __future__ import annotations

from typing import Final

from borderpost.reports.finding import Level, Rule

_FORBIDDEN = "Data of this kind would be handled where a law that applies to these people does not let it be."
_UNKNOWN = "What cannot be placed may be anywhere, and the law lets such data not go anywhere."

WORKLOAD_FORBIDDEN: Final = Rule(
    "BPM001",
    "a workload stands where its data may not go",
    _FORBIDDEN,
    "Bind it to an allowed region (nodeSelector or required nodeAffinity; `region` or `location` of the resource), or "
    "correct its labels.",
)
WORKLOAD_UNKNOWN: Final = Rule(
    "BPM002",
    "a workload with labelled data may stand anywhere",
    _UNKNOWN,
    "Bind it by nodeSelector or required nodeAffinity on `topology.kubernetes.io/region`, label it or its namespace "
    "with `borderpost.dev/region` or `borderpost.dev/country`, or say `--cluster`.",
)
ENDPOINT_FORBIDDEN: Final = Rule(
    "BPM003",
    "labelled data is sent to an endpoint where it may not go",
    _FORBIDDEN,
    "Use an endpoint in an allowed region.",
)
ENDPOINT_UNKNOWN: Final = Rule(
    "BPM004",
    "labelled data is sent to an endpoint that may stand anywhere",
    _UNKNOWN,
    "Use an endpoint whose name has its region, or give the ServiceEntry's endpoints a `locality`, or label it with "
    "`borderpost.dev/region`.",
)
FAILOVER_FORBIDDEN: Final = Rule(
    "BPM005",
    "failover or distribution leads where the data may not go",
    "While all is well nothing is wrong; on the day when a region fails, its traffic crosses the border.",
    "Fail over to an allowed region, or to none.",
)
FAILOVER_UNKNOWN: Final = Rule(
    "BPM006",
    "failover or distribution leads to a place that nobody knows",
    _UNKNOWN,
    "Name a region that is in the configuration or that a cloud provider lists.",
)
STORAGE_FORBIDDEN: Final = Rule(
    "BPM007",
    "labelled data is kept where it may not go",
    _FORBIDDEN,
    "Keep it in an allowed region; replicate to none that is not.",
)
STORAGE_UNKNOWN: Final = Rule(
    "BPM008",
    "labelled data is kept where nobody can say",
    _UNKNOWN,
    "Give the StorageClass `allowedTopologies`, the resource its `location`, or label it with `borderpost.dev/region`.",
)
ACROSS_FORBIDDEN: Final = Rule(
    "BPM009",
    "inference crosses regions into one where the data may not go",
    "A cross-Region inference profile, a Global or DataZone deployment or a multi-region may process a prompt in any "
    "of its regions, whatever region it is called in.",
    "Use the model in one region, or a profile whose regions are all allowed.",
)
SUBJECTS_UNSAID: Final = Rule(
    "BPM010",
    "it is not said whose data it is",
    "Which law applies depends on where the people are whose data is handled.",
    "Label it or its namespace with `borderpost.dev/subjects` (codes and groups, such as `DE` or `EEA`), or say "
    "`--subjects`.",
)
LABEL_UNREADABLE: Final = Rule(
    "BPM011",
    "a label cannot be read",
    "A class, place or tenant that the policy does not have calls for no law: the object would go unjudged.",
    "Correct the name.",
)
UNLABELLED: Final = Rule(
    "BPM012",
    "a workload does not say what data it handles",
    "With `--require-labels`, nothing goes unjudged for want of a label.",
    "Label it or its namespace with `borderpost.dev/data-class`; `public` is a class too.",
)
IGNORED_BADLY: Final = Rule(
    "BPM013",
    "a suppression says no known code, or no reason",
    "Whoever reads it later needs to know what was accepted, and why.",
    "Write `borderpost.dev/ignore: CODE reason`; several, one a line.",
    Level.WARNING,
)
PLACES_DISAGREE: Final = Rule(
    "BPM014",
    "configuration and provider disagree on where a region is",
    "One of them is wrong, and the law was asked about the wrong place.",
    "Correct the region's `country` in the configuration, or give it another id.",
)

RULES: Final = {
    rule.id: rule
    for rule in (
        WORKLOAD_FORBIDDEN,
        WORKLOAD_UNKNOWN,
        ENDPOINT_FORBIDDEN,
        ENDPOINT_UNKNOWN,
        FAILOVER_FORBIDDEN,
        FAILOVER_UNKNOWN,
        STORAGE_FORBIDDEN,
        STORAGE_UNKNOWN,
        ACROSS_FORBIDDEN,
        SUBJECTS_UNSAID,
        LABEL_UNREADABLE,
        UNLABELLED,
        IGNORED_BADLY,
        PLACES_DISAGREE,
    )
}
"""Every rule by its id."""

UNKNOWN_PLACES: Final = frozenset({"BPM002", "BPM004", "BPM006", "BPM008"})
"""Rules about places that cannot be told, whose level `--unknown-place` sets."""
