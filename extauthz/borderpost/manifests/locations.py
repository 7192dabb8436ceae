"""From what a manifest writes of a place (a region, a zone, a host, a model's id) to where that may be."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from borderpost.manifests.clouds import cloud_of, known_clouds
from borderpost.manifests.tree import Node
from borderpost.policy import codes

_ZONE = re.compile(r"(?P<region>[a-z]+(?:-[a-z]+)+-?\d+)-?[a-z]")
"""A zone after its region: `eu-central-1a`, `europe-west4-b`. A local zone (`ap-southeast-1-mnl-1a`, Manila) may be in
another country than its region, so it is none that is known."""
_PROFILE = re.compile(
    r"(?:(?P<profile>[a-z]+-profile/)|(?<![\w.-])(?<!//))(?P<area>[a-z]{2,6}(?:-gov)?)\."
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia|openai|qwen|stability"
    r"|twelvelabs|writer|guardrail)\.(?!com\b)"
)
"""A model's id with the area of a cross-Region inference profile: `eu.anthropic.claude-…`, alone or ending an ARN."""
_ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]+):")
_HOST = re.compile(r"(?<![\w.@-])((?:[a-z0-9_-]+\.)+[a-z]{2,})(?![\w-])", re.IGNORECASE)
_LIKE_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-\d+")
_AWS_SERVICES = frozenset({"s3", "bedrock", "bedrock-runtime", "bedrock-agent-runtime", "sagemaker", "runtime"})
_GOOGLE_APIS = ("aiplatform", "bigquery", "firestore", "generativelanguage", "storage")
_HOST_BYTES_MAX = 253  # RFC 1035 section 2.3.4, without the last dot


class Location(NamedTuple):
    """Where something may be."""

    name: str
    """As people write it: `us-east-1`, `eu`, `DE`."""
    codes: tuple[str, ...]
    """Places, any of which it may be at; none: anywhere."""
    cloud: str | None = None
    """Whose it is, by its name in `clouds.yaml`; None where that is not known."""
    region: str | None = None
    """The region id that the configuration may know it by."""


class Sighting(NamedTuple):
    """One statement of a manifest on where something is."""

    location: Location | None
    """None: it cannot be told."""
    node: Node
    """What says so, or what should have."""
    how: str
    """What was read, in words: `nodeSelector topology.kubernetes.io/region`; for None, why it cannot be told."""


class Geography:
    """What names of places mean beside a configuration, whose region ids are names too."""

    def __init__(self, regions: Collection[str], groups: Collection[str] = ()) -> None:
        self._regions = frozenset(regions)
        self._groups = frozenset(groups)

    def region(self, text: str, cloud: str | None = None) -> Location | None:
        """Return what a region's, zone's or area's name means, None if nobody knows it.

        `cloud` is the provider in whose terms it is written; without one, areas such as `us` are not read, since
        nobody knows whose they are.
        """
        if text in self._regions:
            known = self._in_clouds(text, cloud)
            return known if known is not None else Location(text, (), None, text)
        return self._in_clouds(text, cloud)

    def _in_clouds(self, text: str, cloud: str | None) -> Location | None:
        name = "".join(text.split()).lower() if cloud in ("azure", None) else text.lower()
        clouds = known_clouds().clouds
        whose = cloud_of(name)
        if whose is not None:
            return Location(name, (clouds[whose].regions[name],), whose, name)
        if cloud is not None and name in clouds[cloud].areas:
            return Location(name, clouds[cloud].areas[name], cloud)
        zone = _ZONE.fullmatch(name)
        if zone is not None and zone["region"] != name:
            return self.region(zone["region"], cloud)
        base, dash, number = name.rpartition("-")
        if dash and number.isdigit() and cloud_of(base) == "azure":
            return self.region(base, "azure")  # a zone as AKS labels its nodes
        return None

    def place(self, text: str) -> Location | None:
        """Return what our own labels mean: a configured region, a cloud's region, or a place's code."""
        if text in self._regions:
            return self.region(text)
        code = text.upper()
        if codes.is_code(code) and code not in codes.OWN_CODE:
            return Location(code, (code,))
        return self.region(text)

    def host(self, text: str) -> tuple[Location | None, str] | None:
        """Return where a cloud's or a model's endpoint is and how its name says so; None if it is nobody's we know.

        A host that is known and tells no place gives None with the reason.
        """
        name = text.lower().rstrip(".")
        if len(name) > _HOST_BYTES_MAX:
            return None
        owner = next(
            (cloud for cloud, known in known_clouds().clouds.items() for end in known.hosts if _ends(name, end)), None
        )
        if owner is not None:
            for word in _words(name):
                location = self._in_clouds(word, owner)
                if location is not None and location.cloud == owner:
                    return location, f"the host {name}"
            return (None, f"the name {name} tells no place") if _handles_data(name) else None
        if name in known_clouds().endpoints:
            return None, f"the name {name} tells no place"
        return None

    def hosts_in(self, node: Node) -> list[Sighting]:
        """Return what the hosts, model ids and ARNs in a text say of places."""
        text = node.text or ""
        if len(text) > 65536:
            text = text[:65536]
        found: list[Sighting] = []
        for name in dict.fromkeys(match[1].lower() for match in _HOST.finditer(text)):
            told = self.host(name)
            if told is not None:
                found.append(Sighting(told[0], node, told[1]))
        for match in _PROFILE.finditer(text):
            area = known_clouds().clouds["aws"].areas.get(match["area"])
            how = f"the inference profile of area `{match['area']}`"
            if area is not None:
                found.append(Sighting(Location(match["area"], area, "aws"), node, how))
            elif match["profile"]:
                found.append(Sighting(None, node, f"{how} is not known"))
        for match in _ARN.finditer(text):
            location = self._in_clouds(match["region"], "aws")
            if location is not None and match["service"] in ("bedrock", "sagemaker"):
                found.append(Sighting(location, node, f"the ARN of {match['service']}"))
        return found


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith("." + end)


def _words(name: str) -> list[str]:
    """Return what may be a region in a host: its labels, and what a label begins or ends with."""
    words = []
    for label in name.split("."):
        words.append(label)
        words.append(label.removeprefix("s3-"))
        words.append(label.removesuffix("-aiplatform"))
        head = label.split("-")
        words += ["-".join(head[:count]) for count in (3, 2) if len(head) > count]
    return words


def _handles_data(name: str) -> bool:
    """Say whether a cloud's endpoint of no known place is one that data is sent to, rather than sign-in or pulls."""
    if _ends(name, "googleapis.com"):
        return any(name.split(".")[0].endswith(api) for api in _GOOGLE_APIS)
    if any(_ends(name, end) for end in ("amazonaws.com", "api.aws")):
        words = _words(name)
        return any(word in _AWS_SERVICES or _LIKE_REGION.fullmatch(word) for word in words)
    return True
