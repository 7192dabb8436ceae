"""HPACK (RFC 7541): a decoder for any peer, and an encoder that keeps no state.

    Decoder.decode(block) -> [(name, value), …]     dynamic table, Huffman, bounds
    encode_fields([(name, value), …]) -> block      static table and literals without indexing

`static_table`, `huffman` and `integers` are one section of the RFC each.
"""

from borderpost_wire.hpack.decoder import Decoder, Fields
from borderpost_wire.hpack.encoder import encode_fields
from borderpost_wire.hpack.errors import FieldsTooLong, HpackError

__all__ = ["Decoder", "Fields", "FieldsTooLong", "HpackError", "encode_fields"]
