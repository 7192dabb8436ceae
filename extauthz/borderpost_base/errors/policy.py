"""Errors of area 02: policy, packs and legal events."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0201",
        "unknown country code",
        "The code is not one of ISO 3166-1 alpha-2 (or XK); a law for a country that does not exist protects nobody.",
        "Use the two capital letters of ISO 3166-1, such as `DE`.",
    ),
    ErrorSpec(
        "BP0202",
        "malformed place",
        "A place is a country (`DE`), a subdivision (`CA-QC`) or a jurisdiction inside a country (`AE-DIFC`).",
        "Write COUNTRY or COUNTRY-SUFFIX, in capitals, with 1 to 8 letters or digits after the hyphen.",
    ),
    ErrorSpec(
        "BP0203",
        "unknown group",
        "No pack loaded before, and no inline section, defines a group of this name.",
        "Define the group under `groups`, load the pack that has it, or correct its spelling.",
    ),
    ErrorSpec(
        "BP0204",
        "unknown data class",
        "No pack and no inline section defines this data class.",
        "Define it under `data_classes`, or correct its spelling.",
    ),
    ErrorSpec(
        "BP0205",
        "definition in a circle",
        "A group is made of itself, or a data class implies itself, by way of others.",
        "Break the circle that the message lists.",
    ),
    ErrorSpec(
        "BP0206",
        "redefinition",
        "A later pack or the inline section defines again what an earlier pack defined. A child never widens its "
        "parent, so what a parent says cannot be said anew.",
        "Choose another id. To narrow a parent, add a regime of your own with `deny` entries or `default: deny`.",
    ),
    ErrorSpec(
        "BP0207",
        "wrong date",
        "A date is an ISO 8601 day (meaning 00:00:00 UTC of it) or an instant with a zone; `until` comes after `from`.",
        "Write `2031-12-27` or `2031-12-27T00:00:00Z`.",
    ),
    ErrorSpec(
        "BP0208",
        "same entry twice",
        "Two entries of one regime say the same for times that overlap; after a change of one, the other would stay.",
        "Keep one of the two, or end the first before the second begins.",
    ),
    ErrorSpec(
        "BP0209",
        "wrong name",
        "The name does not fit its kind: group names must not look like country codes, ids are short and plain.",
        "Choose a name of the form that the message gives.",
    ),
    ErrorSpec(
        "BP0210",
        "events out of order",
        "An events file is append-only: ids are unique and `recorded_at` never goes back.",
        "Append the event at the end, with a new id and the time at which it became known.",
    ),
    ErrorSpec(
        "BP0211",
        "unknown region",
        "No region of this id is configured under `regions`.",
        "Configure the region, or correct its spelling.",
    ),
    ErrorSpec(
        "BP0212",
        "contradictory regime",
        "The regime's parts cannot hold together, such as an embargo that allows.",
        "Remove the part that the message names.",
    ),
    ErrorSpec(
        "BP0213",
        "unknown pack",
        "No built-in pack has this name, and it does not look like the path of a YAML file.",
        "Use a built-in name, or a path that ends in .yaml or .yml.",
    ),
    ErrorSpec(
        "BP0214",
        "unknown tenant",
        "No tenant of this name is configured under `tenants`.",
        "Configure the tenant, or correct its spelling.",
    ),
    ErrorSpec(
        "BP0215",
        "not canonical",
        "Bytes that should be a canonical policy or event list are not: they were changed, cut, or made by another "
        "version of the product.",
        "Fetch the input again by its digest, and replay with the version that the record names.",
    ),
    ErrorSpec(
        "BP0216",
        "rank against implication",
        "A data class implies another one of higher rank, or a class of rank 0 (free data) implies a protected one.",
        "Give the class at least the rank of all that it implies.",
    ),
    ErrorSpec(
        "BP0217",
        "policy too large",
        "The policy, its packs or the list of regions exceed a bound that protects the compiler or the records.",
        "Name fewer subdivisions, join packs, or split the deployment.",
    ),
    ErrorSpec(
        "BP0219",
        "threshold without counter",
        "An entry's threshold names a counter that its regime lacks, or a counter counts what is no basis.",
        "Define the counter under the regime's `counters`, over bases that its entries have.",
    ),
    ErrorSpec(
        "BP0220",
        "incoherent event",
        "A legal event lacks what its type needs, or has what means nothing for it.",
        "See the table of event types in the policy reference.",
    ),
    ErrorSpec(
        "BP0225",
        "pack not loaded before",
        "A pack builds on another one, or narrows it (`parent`), and that one does not come before it. Built-in packs "
        "that a pack builds on are loaded of themselves; others, and parents, are listed.",
        "List the other pack under `policy.packs`, before the one that needs it.",
    ),
    ErrorSpec(
        "BP0226",
        "free data class in a child pack",
        "A pack with a parent can only take away; a data class of rank 0 needs no law and would open a way.",
        "Give the class rank 1 or more, or define it in a pack without a parent.",
    ),
    ErrorSpec(
        "BP0221",
        "performance first where law restricts",
        "The mode performance-first is only for data that no regime restricts; a regime that is loaded does.",
        "Use `legal-first` or `hybrid` there, or give the tenant, route or class data classes that no regime is about.",
    ),
    ErrorSpec(
        "BP0222",
        "unknown regime",
        "The event names a regime that no pack and no inline section defines; it would concern nobody.",
        "Correct its spelling, or load the pack that has it.",
    ),
    ErrorSpec(
        "BP0223",
        "own place not allowed",
        "With `policy.processors.checked: at-load` every law about the subjects named must let this gateway's own "
        "place and each sink see their data, and one does not.",
        "Move the gateway or the sink, narrow `policy.processors.subjects`, or check per request.",
    ),
    ErrorSpec(
        "BP0224",
        "widening event without signatures",
        "An event that can add a region takes effect only once two people have signed it; a plain list has none.",
        "Put it into a signed list: see `borderpost events --help`.",
    ),
)
