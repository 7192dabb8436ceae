"""HTTP/2 on the server's side (RFC 9113), without I/O and without a clock.

    connection = Connection(limits)
    for event in connection.receive(data, now_s):  …       bytes from the peer
    connection.out.respond(stream, head, body, trailers)   what to say on a stream
    transport.write(connection.out.take())                 bytes for the peer

Begin with `states.py`: one table of what can happen to a stream. `connection.py` is a connection's life,
`inbound.py` its receiving half and `outbound.py` its sending half; `request.py` says what a request is,
`limits.py` what a peer may use.
"""

from borderpost_wire.h2.connection import Connection
from borderpost_wire.h2.errors import ErrorCode, LocalFault
from borderpost_wire.h2.events import EventKind
from borderpost_wire.h2.limits import Limits
from borderpost_wire.h2.outbound import Outbound, ResponseHead, Trailers
from borderpost_wire.h2.request import Request, RequestMemo
from borderpost_wire.h2.stream import Stream

__all__ = [
    "Connection",
    "ErrorCode",
    "EventKind",
    "Limits",
    "LocalFault",
    "Outbound",
    "Request",
    "RequestMemo",
    "ResponseHead",
    "Stream",
    "Trailers",
]
