"""What a request's body says: its model, its data classes, its digest; read once, with one meaning, or not at all.

Used where body mode is configured, and by nobody else. Pure: a body and a few headers go in, a `Payload` or an
`Unreadable` comes out, and neither ever holds a byte of the body. The parts:

- `model.py`: what is asked and what is answered;
- `reading.py`: the order of the checks (bound, digest, content type, JSON, pointers, detectors);
- `json_text.py`: JSON of which every parser that we know of reads the same, or a refusal;
- `content.py`, `digests.py`, `pointer.py`: headers about content (RFC 9110), `Content-Digest` (RFC 9530), JSON
  Pointer (RFC 6901);
- `texts.py` and `detectors/`: what is searched for in texts. A detector can add a data class and never take one away.
"""
