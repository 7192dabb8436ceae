"""Errors of area 10: the signed list of legal events, its keys, signatures and heartbeats."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1001",
        "line of the list cannot be read",
        "A line of the signed list is one canonical JSON object (RFC 8785) of a known shape. This one is not: it was "
        "edited, cut, or written by something else.",
        "Restore the line from another copy of the list; `borderpost events verify` compares them. Never edit a list.",
    ),
    ErrorSpec(
        "BP1002",
        "gap in the chain",
        "Each line names the SHA-256 of the line before and its own number. Here they do not fit: a line was changed, "
        "taken out, put in, or moved.",
        "Restore the list from another copy; the last line that fits tells from where.",
    ),
    ErrorSpec(
        "BP1003",
        "wrong time in the list",
        "The instant at which a line was appended never goes back, and never lies ahead of this machine's clock by "
        "more than clocks may differ.",
        "Set the clocks right (NTP). A line from the future is taken once its time has come.",
    ),
    ErrorSpec(
        "BP1004",
        "forged signature",
        "The signature does not belong to these words and this key: the event was changed after it was signed, or the "
        "signature was moved here from another one.",
        "Have the signer sign what stands there: `borderpost events sign`. Find out who put the line in.",
    ),
    ErrorSpec(
        "BP1005",
        "unknown signer",
        "The configuration's `events.signers` has no such name, or has it with another key, or no longer at that time.",
        "Add the signer's public key under `events.signers`, or have a known signer sign. A key that is replaced stays "
        "listed, with `until`, for what it signed before.",
    ),
    ErrorSpec(
        "BP1006",
        "wrong set of signatures",
        "What is signed carries one signature of each signer, by name and by key; two names with one key are "
        "one person.",
        "Remove the signature that is there twice, or have somebody else sign.",
    ),
    ErrorSpec(
        "BP1007",
        "used id",
        "The id of an event or trigger is never used again, since it stands in reasons and records.",
        "Choose an id that the list does not have; `borderpost events list` shows them.",
    ),
    ErrorSpec(
        "BP1008",
        "approval of something else",
        "An approval names an event above it in the list, by its id and the digest of its signed form.",
        "Approve what is in the list: `borderpost events approve ID --list …`.",
    ),
    ErrorSpec(
        "BP1009",
        "torn last line",
        "The list's last line has no end: whoever appended it was interrupted, or the file was cut.",
        "If nobody is writing to it, `borderpost events verify --repair` removes the piece, which was never in force. "
        "Then append the event again.",
    ),
    ErrorSpec(
        "BP1010",
        "list too large",
        "A list has bounds of bytes and lines, a line has one of bytes, so that nothing is read without end.",
        "Check that this is the list of legal events. One that has grown up to its bounds is begun anew, "
        "with new keys.",
    ),
    ErrorSpec(
        "BP1011",
        "the list has moved on",
        "Somebody else appended a line meanwhile, so that this one does not follow the last line any more.",
        "Do it again: the event is checked against the list as it is now.",
    ),
    ErrorSpec(
        "BP1012",
        "law withheld",
        "The list has fewer lines than were seen before, or than its newest heartbeat says, or other ones: something "
        "keeps news of the law from this machine. What was known stays in force.",
        "Bring the list back to what its heartbeat says, from another copy. Find out who shortened it.",
    ),
    ErrorSpec(
        "BP1013",
        "unknown event",
        "The list has no event of this id.",
        "`borderpost events list` shows the ids.",
    ),
    ErrorSpec(
        "BP1014",
        "list and signers do not fit",
        "With `events.signers` the law comes from a signed list (.jsonl); a plain YAML file, which anybody could have "
        "written, is refused. A signed list cannot be checked without signers.",
        "Name a .jsonl list and `events.signers`, or a .yaml file and no signers.",
    ),
    ErrorSpec(
        "BP1015",
        "key cannot be used",
        "Signers have Ed25519 keys, each one its own: PEM files, or the 32 bytes of the public key in hex or base64.",
        "Make a pair with `borderpost events keygen NAME`, and configure its public half.",
    ),
    ErrorSpec(
        "BP1016",
        "not for the list to say",
        "Thresholds, approvals and what triggers fire are made by the gateway from what it has seen and checked; an "
        "event that claims to be one of them is refused.",
        "Leave the field out, or choose a type that people give: see the table of event types in the policy reference.",
    ),
    ErrorSpec(
        "BP1017",
        "wrong trigger",
        "A trigger is signed before anybody knows when it fires, so it only narrows, for a time that is stated; and "
        "what it fires is what was signed.",
        "Give it a narrowing event without `id` and `effective_from`, one condition, and a `valid_until` to come.",
    ),
    ErrorSpec(
        "BP1018",
        "list cannot be written",
        "The list, or a file beside it, could not be written or brought to stable storage. It is as it was before.",
        "See the message for the system's reason: permissions, a full disk.",
    ),
    ErrorSpec(
        "BP1030",
        "feed cannot be read",
        'What a feed says is JSON of the form {"value": …, "at": "…"}: a text, a number, true or false, and the '
        "instant since when it is so. What it said before stands.",
        "Write it so. A file is replaced by renaming a new one over it.",
    ),
    ErrorSpec(
        "BP1031",
        "webhook's secret cannot be used",
        "Each webhook has a secret of its own, in a file that the gateway can read: whoever knows it may "
        "fire triggers.",
        "Make one, as by `openssl rand -hex 32`, in a file that only the gateway and the sender can read.",
    ),
    ErrorSpec(
        "BP1032",
        "webhook's message refused",
        "A message carries the HMAC-SHA256 of its bytes under the feed's secret, and an `at` close to this machine's "
        "clock, so that what was overheard once cannot be sent again later.",
        "Sign the very bytes that are sent, `x-feed-signature: sha256=…`; set both clocks right (NTP).",
    ),
    ErrorSpec(
        "BP1033",
        "message of a feed not taken",
        "What the message fires could not be published to the workers, or the message not be passed on to the fleet.",
        "Send it again: nothing is fired twice. See the log lines before this one for the reason.",
    ),
)
