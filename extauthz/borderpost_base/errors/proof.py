"""Errors of area 12: proofs, comparisons, tests, exports and checks of law before traffic."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1201",
        "an assertion cannot be read",
        "An assertion names a region, group, data class, tenant or basis that the configuration does not have, or "
        "claims nothing. It would hold whatever the policy says.",
        "Correct the name, or take the assertion out.",
    ),
    ErrorSpec(
        "BP1202",
        "the policy tells too many requests apart",
        "The atoms, kinds of requests that the law tells apart, are more than one run goes through.",
        "Ask about less: a shorter time (`--from`, `--until`), or fewer packs.",
    ),
    ErrorSpec(
        "BP1210",
        "a test proves nothing",
        "A case expects nothing, a file has no case, or a request says what the configuration does not read: whatever "
        "the policy says, the test would pass.",
        "Say what shall hold, or take the case out.",
    ),
    ErrorSpec(
        "BP1211",
        "too many cases",
        "The lists under `each` multiply: the cases of one file are more than one run goes through.",
        "Split the file, or let `borderpost policy prove` go through all kinds of requests.",
    ),
    ErrorSpec(
        "BP1260",
        "nothing that `policy fmt` lays out",
        "It lays out YAML files that people write. A JSON file, such as a signed event, would no longer be JSON.",
        "Leave the file out.",
    ),
    ErrorSpec(
        "BP1261",
        "formatting would change the file's content",
        "What would have been written was read again and is not what the file says. This is a mistake of the program; "
        "nothing was written.",
        "Leave the file as it is, and report it with the file.",
    ),
    ErrorSpec(
        "BP1262",
        "a file could not be written",
        "The folder or the file cannot be written to, or the disk is full. What was there is as it was.",
        "Make room, or give this user the right to write there.",
    ),
    ErrorSpec(
        "BP1250",
        "nothing of that name to lose",
        "No region says that this operator runs it, or the name is neither a place's code nor a group of the policy. "
        "Taking nothing away would show that nothing is lost.",
        "Correct the name; operators are named by `operator.entity` of regions.",
    ),
    ErrorSpec(
        "BP1251",
        "the event cannot be supposed",
        "The legal event is in the list already, ends an event that the list does not have, or does not hold at the "
        "instant that is looked at.",
        "Correct the event, or choose another instant with `--at`.",
    ),
    ErrorSpec(
        "BP1252",
        "the traffic cannot be read",
        "A line of the traffic is no request, has neither a count nor a rate that can be added to the others, or says "
        "what the configuration does not read.",
        "Correct the line.",
    ),
    ErrorSpec(
        "BP1253",
        "the log does not verify",
        "What the log says cannot be relied on: a record was changed, is missing, or an input is not what it was.",
        "Look at it with `borderpost verify`; `--unverified` goes on with what can be read.",
    ),
    ErrorSpec(
        "BP1254",
        "no decision to go by",
        "The log has no decision for which law was asked in the time that is looked at.",
        "Choose another time with `--from` and `--to`, or another log.",
    ),
    ErrorSpec(
        "BP1255",
        "too many kinds of requests",
        "Workloads times what the law tells apart are more than one run weighs against every loss.",
        "Ask about less: a shorter time (`--from`, `--to`), or fewer workloads.",
    ),
)
