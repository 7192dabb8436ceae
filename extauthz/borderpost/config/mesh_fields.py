"""Kinds of values in sections about a mesh: host names, networks, labels, names of Kubernetes; each in one form."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints

from borderpost.policy.fields import checked
from borderpost_base.errors import BorderpostError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_CHARACTERS_MAX = 253


def _host(value: Any) -> str:
    """Return a host name in lower case, as Envoy and istiod compare it."""
    if not isinstance(value, str):
        raise BorderpostError("BP1401", f"`{value}` is not a host name")
    if not value.isascii():
        try:
            spelt = value.encode("idna").decode()
        except UnicodeError:
            raise BorderpostError("BP1401", f"`{value}` cannot be a host name") from None
        raise BorderpostError("BP1401", f"`{value}` is not ASCII", mend=f"Write it as clients send it: `{spelt}`.")
    host = value.lower()
    if len(host) > _HOST_CHARACTERS_MAX:
        raise BorderpostError("BP1401", f"a host name of {len(host)} characters is longer than 253 (RFC 1123)")
    if not all(map(_LABEL.fullmatch, host.split("."))):
        raise BorderpostError("BP1401", f"`{value}` is not a host name")
    if re.fullmatch(r"[0-9.]+", host):
        raise BorderpostError("BP1401", f"`{value}` is an address", mend="Give it a name; addresses are `endpoints`.")
    return host


def _served_host(value: Any) -> str:
    """Return a host that clients ask for: a name, `*.` and a name, or `*`."""
    if value == "*":
        return "*"
    if isinstance(value, str) and value.startswith("*."):
        return f"*.{_host(value[2:])}"
    return _host(value)


def _address(value: Any) -> str:
    """Return an IP address in its one form, or a host name."""
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        return _host(value)


def split_endpoint(text: str) -> tuple[str, int | None]:
    """Return address and port of an endpoint: `HOST`, `HOST:PORT`, `V6` or `[V6]:PORT`. Raises BP1401."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed is not None:
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, None
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise BorderpostError("BP1401", f"`{port}` is not a port from 1 to 65535")
    return _address(host), int(port) if port is not None else None


def _endpoint(value: Any) -> str:
    host, port = split_endpoint(str(value))
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _gateway(value: Any) -> str:
    """Return the name of a Gateway; istiod takes no dots in it."""
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) not in (1, 2) or not all(map(_LABEL.fullmatch, parts)):
        raise BorderpostError("BP1401", f"`{value}` is not the name of a Gateway: NAME or NAMESPACE/NAME, without dots")
    return "/".join(parts)


def _network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError as error:
        raise BorderpostError("BP1401", f"`{value}` is not a network such as 192.0.2.0/24") from error


HostName = Annotated[str, checked(_host), StringConstraints(max_length=_HOST_CHARACTERS_MAX)]
"""A host name, lower case and ASCII."""
ServedHost = Annotated[str, checked(_served_host), StringConstraints(max_length=_HOST_CHARACTERS_MAX + 2)]
"""A host name, `*.` before one, or `*`."""
GatewayName = Annotated[str, checked(_gateway)]
"""The name of a Gateway, with its namespace if it is in another one."""
Network = Annotated[str, checked(_network)]
"""A network in CIDR notation."""
Address = Annotated[str, checked(_address)]
"""An IP address or a host name."""
Endpoint = Annotated[str, checked(_endpoint)]
"""An address with a port or without."""
NamespaceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""Name of a namespace of Kubernetes."""
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
"""Name of a Secret of Kubernetes."""
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
"""Key of a label of Kubernetes."""
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
"""Value of a label of Kubernetes."""
Labels: TypeAlias = Annotated[dict[LabelKey, LabelValue], Field(min_length=1, max_length=32)]
"""Labels by which pods are selected; at least one."""
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
FileInProxy = Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{1,1023}$")]
"""Absolute path of a file in the container of the gateway's Envoy."""
PathPrefix = Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{0,1023}$")]
"""Start of a path."""
