"""Errors of area 03: GeoIP databases, lists of anonymisers and facts."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0301",
        "GeoIP database cannot be read",
        "The file does not exist or this process may not read it.",
        "Correct `geoip.database` or `geoip.anonymisers`, or the file's permissions. Without `geoip.database` the "
        "embedded one is used.",
    ),
    ErrorSpec(
        "BP0302",
        "not a GeoIP database",
        "The file is not in MaxMind DB format (`.mmdb`).",
        "Name an MMDB file: GeoIP2, GeoLite2, DB-IP or ip-location-db, not its CSV edition or an archive.",
    ),
    ErrorSpec(
        "BP0303",
        "damaged GeoIP database",
        "The file is cut short or otherwise damaged, most often by a download that broke off.",
        "Download it again, compare its checksum, and move it into place by renaming.",
    ),
    ErrorSpec(
        "BP0304",
        "GeoIP database of the wrong kind",
        "The records of this database name no country: it is an ASN, ISP, domain or anonymous-IP edition.",
        "Use a Country, City or Enterprise edition. An anonymous-IP edition belongs in `geoip.anonymisers`.",
    ),
    ErrorSpec(
        "BP0305",
        "GeoIP database changed while it was read",
        "Somebody wrote to the file, or replaced it, while it was being opened.",
        "Replace the file by renaming a complete one over it; then load again.",
    ),
    ErrorSpec(
        "BP0306",
        "GeoIP database damaged at an address",
        "A look-up met a record that cannot be decoded. Where the client is cannot be told, so the request is "
        "refused: `unknown` would be a statement about the address, and this is none.",
        "Replace the database by a whole one; the log names the file.",
    ),
    ErrorSpec(
        "BP0307",
        "GeoIP database is old",
        "The database was built longer ago than `geoip.max_age_days`; address blocks have changed hands since.",
        "Bring in a current edition, or raise `geoip.max_age_days`.",
    ),
    ErrorSpec(
        "BP0308",
        "one certificate name for two tenants",
        "Two tenants claim the same SAN, so that a certificate with it would prove neither.",
        "Give each SAN to one tenant.",
    ),
    ErrorSpec(
        "BP0309",
        "list of anonymisers cannot be read",
        "A line is not an address or a network, at most one known word after it (`vpn`, `tor`, `proxy`, `relay`, "
        "`hosting`…), and a comment after `#`. No line is passed over: the address that it flags would be believed.",
        "Correct the line, or download the file again.",
    ),
    ErrorSpec(
        "BP0310",
        "no anonymisers in the file",
        "The records of the database have no field such as `is_anonymous` or `vpn`, or the list has no network: an "
        "edition of another kind, or a download that broke off.",
        "Name a file that flags addresses in `geoip.anonymisers`.",
    ),
    ErrorSpec(
        "BP0311",
        "list of anonymisers too long",
        "The file has more bytes or networks than a list may have.",
        "Join neighbouring addresses to networks, or use an MMDB file, which has no such bound.",
    ),
)
