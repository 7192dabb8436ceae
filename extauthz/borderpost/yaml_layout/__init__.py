"""How YAML files of ours are laid out: one form for one content, comments kept, meaning untouched.

    tree        a document as entries with the places where they stand (PyYAML's scanner and parser)
    comments    which entry each comment is about, and where blank lines stand
    order       keys as the models have them
    scalars     how a text is written: plain, quoted, folded
    writing     entries to lines
    formatting  all of it, and the proof that the content is the same

Round-trip libraries bind a comment to the token before it: a key that moves takes the next key's comment along, and
comments inside `[…]` and `{…}` get lost. Here a comment belongs to the entry below it, or to the one that it stands
beside, and moves with it.
"""
