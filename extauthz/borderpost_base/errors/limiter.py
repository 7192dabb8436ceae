"""Errors of area 16: the rate-limit service."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1601",
        "no limits file",
        "A folder that should hold limits files holds none that ends in `.yaml` or `.yml`.",
        "Name the folder that holds the files; `borderpost ratelimit check FOLDER` lists what is read.",
    ),
    ErrorSpec(
        "BP1602",
        "limits file without a domain",
        "Envoy names a domain with each request; limits of no domain would never be met.",
        "Set `domain` at the top of the file to the `domain` of Envoy's rate-limit filter.",
    ),
    ErrorSpec(
        "BP1603",
        "one domain in two files",
        "Two files set limits for the same domain, and files are not merged unless that is asked for.",
        "Put the limits into one file, or turn merging on (`merge_domains`, MERGE_DOMAIN_CONFIG before).",
    ),
    ErrorSpec(
        "BP1604",
        "descriptor without a key",
        "Each descriptor matches an entry of Envoy's descriptors by its key.",
        "Set `key` to the descriptor key that Envoy's action sends.",
    ),
    ErrorSpec(
        "BP1605",
        "one descriptor twice",
        "Two descriptors of one level have the same key and value (joined by `_`), so only one of them could be met.",
        "Remove one of them, or nest what they have under one.",
    ),
    ErrorSpec(
        "BP1606",
        "unknown unit of time",
        "A limit counts per unit of time, and this is none.",
        "Use second, minute, hour, day, week, month or year.",
    ),
    ErrorSpec(
        "BP1607",
        "unlimited and limited",
        "A rule that is unlimited cannot have a limit.",
        "Remove `unlimited`, or remove the limit.",
    ),
    ErrorSpec(
        "BP1608",
        "replaces nothing or itself",
        "A rule replaces other rules by their names.",
        "Name another rule's `name` in each entry of `replaces`.",
    ),
    ErrorSpec(
        "BP1609",
        "shared threshold without a wildcard",
        "`share_threshold` lets all values that one wildcard matches count together; without `*` there is one value.",
        "Put a `*` into the value, or remove `share_threshold`.",
    ),
    ErrorSpec(
        "BP1610",
        "limit that contradicts itself",
        "What is set for a limit does not go together with its algorithm, or with the rule's other limits.",
        "Keep to the keys of the algorithm; the guide's page on limits files lists them.",
    ),
    ErrorSpec(
        "BP1611",
        "metadata that cannot be told",
        "A rule's metadata is sent to Envoy as a protobuf Struct, which holds what JSON holds.",
        "Use text, finite numbers, true, false, null, lists and mappings.",
    ),
    ErrorSpec(
        "BP1612",
        "rule that is never met",
        "Another descriptor of the same level is met first by everything that this one matches.",
        "Put the narrower wildcard before the wider, or remove one of them.",
    ),
    ErrorSpec(
        "BP1613",
        "key without effect",
        "The key is known, but not at this place, where envoyproxy/ratelimit passes over it without a word.",
        "Move the key to where it belongs, or remove it.",
    ),
    ErrorSpec(
        "BP1614",
        "replaces a name that no rule has",
        "No rule of the domain has this name, so nothing is replaced.",
        "Correct the name, or give the rule that should be replaced this `name`.",
    ),
    ErrorSpec(
        "BP1615",
        "part of a file is not read",
        "One YAML document of a file is read, as envoyproxy/ratelimit does; of a folder, files that end in `.yaml` or "
        "`.yml`.",
        "Put each document into a file of its own.",
    ),
    ErrorSpec(
        "BP1616",
        "limit that lets nothing pass",
        "The limit is 0: each request that meets it is refused.",
        "Set the amount, or write 0 to say that this is meant.",
    ),
    ErrorSpec(
        "BP1617",
        "descriptor that limits nothing",
        "It has neither a limit nor descriptors below it: what meets it passes, as it would without it.",
        "Give it a limit, or remove it; to count without limiting, say `unlimited: true`.",
    ),
    ErrorSpec(
        "BP1618",
        "limiter does not say what is left",
        "No limiter answers at this HTTP address, or its store has no answer, or it asks for a token.",
        "Name the address of its `limiter.admin`, and its token with `--token-file`.",
    ),
    ErrorSpec(
        "BP1619",
        "setting that cannot be taken over",
        "A setting of envoyproxy/ratelimit is not understood, or its value is not at hand.",
        "Correct the setting, or give its value in an environment file after the manifests.",
    ),
    ErrorSpec(
        "BP1630",
        "limit that reaches beyond its region has no store",
        "A limit with `scope: global` is counted in a store that regions share, and no such store is configured.",
        "Configure `limiter.global_store`, or leave `scope` out: the limit then counts within the region.",
    ),
    ErrorSpec(
        "BP1631",
        "no secret for keys that leave the region",
        "Keys of global counters leave only as their hash under a secret of 16 to 64 bytes, the same in all regions.",
        "Make one with `openssl rand -hex 32`, and name its file in `limiter.global_store.key_file`.",
    ),
    ErrorSpec(
        "BP1640",
        "the store of counters is away",
        "The store did not answer within `wait_ms`, refused, or is out of reach. Until it is back no request waits for "
        "it: each limit counts in this process alone, lets everything pass, or nothing, as its file says.",
        "Bring the store back; it is found by itself. An alarm on the metric of the store's state says it first.",
    ),
    ErrorSpec(
        "BP1650",
        "no limits",
        "A limiter needs limits files, and neither the command line nor a configuration names any.",
        "Name a folder of them: `borderpost ratelimit serve --limits DIR`, or `limiter.limits` in the configuration.",
    ),
    ErrorSpec(
        "BP1651",
        "limits files could not be read",
        "Reading them ended in an error that is none of theirs. The last good limits stay in force.",
        "The log has a traceback: report it with the files. Going back to the files before ends the alarm.",
    ),
    ErrorSpec(
        "BP1670",
        "key of a descriptor is reserved",
        "Keys that begin with `borderpost.` name the request and say that it has ended; they take no part in limits.",
        "Give the key another name.",
    ),
    ErrorSpec(
        "BP1671",
        "end of a request that nothing can be made of",
        "What a request has used settles a budget, its end gives back a lease; one descriptor is one of them. And a "
        "lease is given back by the request's name, which only Borderpost's own limiter knows.",
        "Use two descriptors, or say `service: borderpost`.",
    ),
    ErrorSpec(
        "BP1672",
        "nobody says where limits are asked for",
        "Without `host` and `socket` the limiter that runs inside `borderpost serve` is asked, so it has to run there.",
        "Add a section `limiter`, or say where the service is: `rate_limit.socket` or `rate_limit.host`.",
    ),
)
