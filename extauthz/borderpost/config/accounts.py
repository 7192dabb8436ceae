"""Users and groups of this machine, given by name or number."""

from __future__ import annotations

import grp
import pwd

from borderpost_base.errors import NOWHERE, BorderpostError, Place


def user_id(user: str | int, place: Place = NOWHERE) -> int:
    """Return a user's number; a number stands for itself. Raises BorderpostError BP0501 for an unknown name."""
    if isinstance(user, int):
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise BorderpostError("BP0501", f"there is no user `{user}` on this machine", place=place) from error


def group_id(group: str | int, place: Place = NOWHERE) -> int:
    """Return a group's number; a number stands for itself. Raises BorderpostError BP0501 for an unknown name."""
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise BorderpostError("BP0501", f"there is no group `{group}` on this machine", place=place) from error
