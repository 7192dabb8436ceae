"""The signed list: how news of the law reach a gateway so that nobody can forge, move, or take away any.

A list is append-only: one canonical JSON object a line, each with the SHA-256 of the line before.

    {"at":"…","body":{…},"kind":"event|approval|trigger","prev":"<hex>","seq":n,"signatures":[{"by","key","sig"}],"v":1}

Signatures cover the body alone, in a form that says what it is (`signing`), so that people sign before the line
exists and whoever appends it needs no key. `at` is when it was appended: the instant at which the event became known.
The chain tells that nothing was changed or taken out; a signed heartbeat, that nothing was cut off the end.

    signing     keys, signers, signed forms
    lines       one line: its shape and its one form in bytes
    triggers    events signed in advance, for the day on which a feed says so
    book        a whole list: what it says, and what is wrong with it
    heartbeat   a signer's word that the list had that length at that time
    store       where lists lie: a file here
    appending   the next line: made, checked as every reader will check it, appended
    documents   events and triggers in files that people write and hand on
    standing    what has become of each event, for people
    plain       the YAML file of set-ups without signers
"""
