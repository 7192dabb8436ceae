"""The Huffman code (RFC 7541 section 5.2 and appendix B), decoded four bits at a time.

The code is canonical: within a length, codes count up in the order of the symbols, and the first of a longer
length follows the last of a shorter one. So the lengths are the whole table, and code words are counted out.

Decoding walks `(node, next four bits) -> (node, symbols)`, one precomputed row for each inner node of the code
tree: two steps a byte, no bit twiddling.
"""

from __future__ import annotations

from borderpost_wire.hpack.errors import HpackError

SYMBOLS_BY_BITS: tuple[tuple[int, bytes], ...] = (
    (5, bytes.fromhex("303132616365696f7374")),
    (6, bytes.fromhex("20252d2e2f333435363738393d415f62646667686c6d6e707275")),
    (7, bytes.fromhex("3a42434445464748494a4b4c4d4e4f5051525354555657596a6b71767778797a")),
    (8, bytes.fromhex("262a2c3b585a")),
    (10, bytes.fromhex("212228293f")),
    (11, bytes.fromhex("272b7c")),
    (12, bytes.fromhex("233e")),
    (13, bytes.fromhex("0024405b5d7e")),
    (14, bytes.fromhex("5e7d")),
    (15, bytes.fromhex("3c607b")),
    (19, bytes.fromhex("5cc3d0")),
    (20, bytes.fromhex("808283a2b8c2e0e2")),
    (21, bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6")),
    (22, bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9")),
    (23, bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef")),
    (24, bytes.fromhex("098e9091949fabced7e1eced")),
    (25, bytes.fromhex("c7cfeaeb")),
    (26, bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff")),
    (27, bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe")),
    (28, bytes.fromhex("020304050607080b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9")),
    (30, bytes.fromhex("0a0d16")),
)
"""Length of code word → the symbols that have it, in order. EOS (30 bits, all ones) is the one left over."""

_STEP_BITS = 4
_STEPS = 1 << _STEP_BITS

_Row = tuple[tuple[int, bytes] | None, ...]
"""By the next four bits: the node reached and the symbols passed, None where EOS lies that way."""


def code_words() -> dict[int, tuple[int, int]]:
    """Return symbol → (code word, its length in bits)."""
    words: dict[int, tuple[int, int]] = {}
    word, bits_before = 0, 0
    for bits, symbols in SYMBOLS_BY_BITS:
        word <<= bits - bits_before
        bits_before = bits
        for symbol in symbols:
            words[symbol] = (word, bits)
            word += 1
    return words


def _rows() -> tuple[list[_Row], frozenset[int]]:
    """Return the rows of all inner nodes (node 0 is the root), and the nodes where a string may end."""
    children: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], bytes] = {}
    for symbol, (word, bits) in code_words().items():
        node = 0
        for shift in range(bits - 1, 0, -1):
            following = children[node][word >> shift & 1]
            if following is None:
                children.append([None, None])
                following = children[node][word >> shift & 1] = len(children) - 1
            node = following
        leaves[node, word & 1] = bytes((symbol,))

    def walk(node: int, steps: int) -> tuple[int, bytes] | None:
        passed = b""
        for shift in range(_STEP_BITS - 1, -1, -1):
            bit = steps >> shift & 1
            symbol = leaves.get((node, bit))
            if symbol is not None:
                node, passed = 0, passed + symbol
                continue
            following = children[node][bit]
            if following is None:
                return None
            node = following
        return node, passed

    rows: list[_Row] = [tuple(walk(node, steps) for steps in range(_STEPS)) for node in range(len(children))]
    ends = [0]  # padding is the beginning of EOS: at most seven bits, all ones (section 5.2)
    for _ in range(7):
        following = children[ends[-1]][1]
        assert following is not None
        ends.append(following)
    return rows, frozenset(ends)


_ROWS, _ENDS = _rows()


def decode_huffman(coded: bytes) -> bytes:
    """Return the string that was coded. Raises HpackError for EOS inside it or padding that is not EOS's beginning."""
    node = 0
    symbols = []
    rows = _ROWS
    for octet in coded:
        for steps in (octet >> _STEP_BITS, octet & _STEPS - 1):
            step = rows[node][steps]
            if step is None:
                raise HpackError("EOS in a string")
            node, passed = step
            if passed:
                symbols.append(passed)
    if node not in _ENDS:
        raise HpackError("padding that is not the beginning of EOS")
    return b"".join(symbols)
