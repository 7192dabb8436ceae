"""From a section of the configuration to the listener that an engine is made with."""

from __future__ import annotations

from pathlib import Path

from borderpost.config.accounts import group_id, user_id
from borderpost.config.sections import DoorSpec
from borderpost_base.errors import Place
from borderpost_wire.errors import AddressInUse
from borderpost_wire.listeners import listen_tcp
from borderpost_wire.options import TcpListen, TlsOptions, UnixListen


def listener_of(door: DoorSpec, *, socket: Path, port: int, section: str) -> UnixListen | TcpListen:
    """Return the listener of one process: on this socket, or on this port of the section's host.

    `section` names the section in errors. Raises BorderpostError BP0501 for a user or group that is not there.
    """
    if door.listen == "unix":
        return UnixListen(
            socket.absolute(),
            mode=int(door.mode, 8),
            uid=None if door.user is None else user_id(door.user, Place(key=f"{section}.user")),
            gid=None if door.group is None else group_id(door.group, Place(key=f"{section}.group")),
            peer_uids=frozenset(user_id(user, Place(key=f"{section}.peer_users")) for user in door.peer_users),
            peer_gids=frozenset(group_id(group, Place(key=f"{section}.peer_groups")) for group in door.peer_groups),
        )
    tls = None
    if door.tls is not None:
        tls = TlsOptions(door.tls.certificate, door.tls.key, door.tls.client_ca, door.tls.callers)
    return TcpListen(door.host, port, tls)


def is_free(listen: TcpListen) -> bool:
    """Return whether a network address can be bound now. Raises ListenError if that is not for another's sake."""
    try:
        listeners = listen_tcp(listen)
    except AddressInUse:
        return False
    for each in listeners:
        each.close()
    return True
