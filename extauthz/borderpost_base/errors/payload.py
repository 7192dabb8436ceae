"""Errors of area 13: what is read of a request's body."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1301",
        "body is not JSON of one meaning",
        "The body claims to be JSON, and parsers would not all read the same in it: it is malformed, not UTF-8, has a "
        "key twice (or one that some parsers take for the model's or the data class's), a number beyond what all "
        "keep, or is nested deeper than is read. The reason says which.",
        "Send one JSON text (RFC 8259, better RFC 7493), each key once.",
    ),
    ErrorSpec(
        "BP1302",
        "headers about content are malformed",
        "`content-type` or `content-encoding` stands twice or does not follow its grammar (RFC 9110, sections 8.3 and "
        "8.4). A server could pick another meaning than the one that was looked at.",
        "Send each once, such as `content-type: application/json`.",
    ),
    ErrorSpec(
        "BP1303",
        "digest header is malformed",
        "`Content-Digest` or `Repr-Digest` is not a dictionary of byte sequences in base64 without parameters, each "
        "algorithm once (RFC 9530).",
        "Send, for instance, `content-digest: sha-256=:…=:`.",
    ),
    ErrorSpec(
        "BP1304",
        "digest is not the body's",
        "A SHA-256 or SHA-512 of `Content-Digest` or `Repr-Digest` differs from that of the body as received.",
        "See who changed the body on its way, or compute the digest over the bytes that are sent.",
    ),
    ErrorSpec(
        "BP1305",
        "form of the body is not read",
        "The body is no JSON by its `content-type`, or is compressed, and nothing is assumed of such bodies here.",
        "Send `application/json` without content coding, or let the operator say which data classes such bodies have.",
    ),
    ErrorSpec(
        "BP1306",
        "body is too long",
        "The body is longer than is read here.",
        "Send less at once, or let the operator raise the bound.",
    ),
    ErrorSpec(
        "BP1307",
        "model or data class in the body is malformed",
        "Where the body says its model there is no name (1 to 128 visible ASCII characters), or where it says its data "
        "class there is no identifier and no list of them.",
        "Send a text such as `llama-3`, a class such as `health`, or leave the key out.",
    ),
    ErrorSpec(
        "BP1309",
        "library of a detector is not installed",
        "A detector is configured whose library is an optional part of the package.",
        "Install the extra that the message names, in the image too.",
    ),
    ErrorSpec(
        "BP1310",
        "unknown detector",
        "The configuration names a detector, or something for it to look for, that does not exist.",
        "Take one of those that the message lists.",
    ),
    ErrorSpec(
        "BP1311",
        "malformed JSON pointer",
        "A pointer is empty (the whole document) or begins with `/`; in it `~0` stands for `~` and `~1` for `/` "
        "(RFC 6901).",
        "Write, for instance, `/model` or `/metadata/data_class`.",
    ),
    ErrorSpec(
        "BP1320",
        "no usable key to name bodies by",
        "Records name a body by a keyed hash (HMAC-SHA-256). No file with the key is named, it cannot be read, or what "
        "is in it is too short or too long for a key.",
        "Make one with `openssl rand -hex 32 > payload.key`, readable by Borderpost alone, and name it in "
        "`payload.hash_key_file`.",
    ),
    ErrorSpec(
        "BP1321",
        "unknown route in `payload.routes`",
        "A route is named whose bodies are to be read, and no such route is described: a slip of the pen would leave "
        "its bodies unread.",
        "Correct the name, or describe the route under `routes` (an empty mapping is enough).",
    ),
    ErrorSpec(
        "BP1330",
        "headers and body contradict each other",
        "A header names another model, or other data classes, than the body does. One of them was meant for somebody "
        "else to see.",
        "Send the same in both, or leave the header out.",
    ),
    ErrorSpec(
        "BP1331",
        "the body was not sent to Borderpost",
        "Bodies of this route are to be read, and Envoy is not configured to send them.",
        "Render Envoy's configuration anew after `payload` has changed: `borderpost render envoy`.",
    ),
    ErrorSpec(
        "BP1332",
        "too many data classes",
        "Headers, body, tenant and route together name more data classes than a record can.",
        "Name fewer: a class stands for all that it implies.",
    ),
    ErrorSpec(
        "BP1333",
        "the body could not be read",
        "Reading failed in a way that nobody foresaw; when in doubt Borderpost refuses.",
        "Report the log line, which tells where; it holds nothing of the body.",
    ),
)
