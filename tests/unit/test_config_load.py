"""Loading a configuration: flags over variables over file, paths, packs, events, and every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from borderpost.config.event_list import load_events
from borderpost.config.events import EventsSection
from borderpost.config.keys import config_keys
from borderpost.config.load import Loaded, load_config
from borderpost.config.model import Config
from borderpost.config.overrides import apply_variables
from borderpost.policy.built_in import STARTER
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.variables import VARIABLES
from borderpost_base.yaml_source import load_yaml

MINIMAL = """\
here: {country: DE, subdivision: DE-HE}
regions:
  eu-central-1: {country: DE}
  us-east-1: {country: US}
region_defaults: {retention: same, telemetry: same}
"""

PACK = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: house, version: "1", as_of: 2026-11-20, not_legal_advice: true}
groups: {HOUSE: [DE, FR]}
"""

EVENTS = """\
events:
  - id: ev-1
    type: region_suspend
    scope: {regions: [us-east-1]}
    effective_from: 2026-11-01
    recorded_at: 2026-11-01T08:00:00Z
    source: a court
    reason: an injunction
"""


def written(folder: Path, text: str, name: str = "borderpost.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def load(
    folder: Path, text: str, overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    return load_config(written(folder, text), overrides, environ or {})


def problems(
    folder: Path, text: str, overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, BorderpostError]:
    with pytest.raises(Problems) as caught:
        load(folder, text, overrides, environ)
    found = {f"{error.code} {error.place.key or error.place.file}": error for error in caught.value.errors}
    assert len(found) == len(caught.value.errors)
    return found


def test_here_and_regions_are_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL)
    assert loaded.config.server.workers == 1
    assert {name: spec.cluster for name, spec in loaded.regions.items()} == {
        "eu-central-1": "eu-central-1",
        "us-east-1": "us-east-1",
    }
    assert loaded.bundle.regimes
    assert loaded.bundle.digest.startswith("sha256:")
    assert loaded.events.events == ()


def test_the_same_file_gives_the_same_digests(tmp_path: Path) -> None:
    first, second = load(tmp_path, MINIMAL), load(tmp_path, MINIMAL)
    assert (first.bundle.digest, first.events.digest) == (second.bundle.digest, second.events.digest)


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    text = MINIMAL + "server: {workers: 2, drain_s: 7}\n"
    variable = {"BORDERPOST_SERVER__WORKERS": "3"}
    assert load(tmp_path, text).config.server.workers == 2
    assert load(tmp_path, text, environ=variable).config.server.workers == 3
    both = load(tmp_path, text, {"server.workers": "4"}, variable).config.server
    assert (both.workers, both.drain_s) == (4, 7)


def test_a_variable_reaches_an_entry_of_a_mapping_and_values_are_yaml(tmp_path: Path) -> None:
    variables = {
        "BORDERPOST_REGIONS__EU_CENTRAL_1__CLUSTER": "frankfurt",
        "BORDERPOST_EVIDENCE__DEFAULT_CLASSES": "[personal, health]",
        "BORDERPOST_EVIDENCE__MTLS__SAN_PREFIX": "spiffe://x/",
        "BORDERPOST_HERE__SUBDIVISION": "",
    }
    loaded = load(tmp_path, MINIMAL, environ=variables)
    assert loaded.regions["eu-central-1"].cluster == "frankfurt"
    assert loaded.config.evidence.default_classes == ("personal", "health")
    assert loaded.config.evidence.mtls is not None
    assert loaded.config.here.subdivision is None


def test_norway_is_a_country_also_in_a_variable(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, {"here": "{country: NO}"}).config.here.country == "NO"


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_variables_that_are_no_keys_are_left_alone(name: str, tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, environ={name: "x", "PATH": "/bin", "borderpost_server__workers": "9"})


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("BORDERPOST_SERVER__WRKERS", "did you mean `BORDERPOST_SERVER__WORKERS`?"),
        ("BORDERPOST_SERVER_WORKERS", "did you mean `BORDERPOST_SERVER__WORKERS`?"),
        ("BORDERPOST_CONFG", "did you mean `BORDERPOST_CONFIG`?"),
        ("BORDERPOST_REGIONS__NOWHERE__CLUSTER", None),
        ("BORDERPOST_", None),
        ("BORDERPOST_SERVER__", None),
        ("BORDERPOST_SERVER__WORKERS__X", None),
    ],
)
def test_a_variable_that_sets_nothing_is_an_error(name: str, mend: str | None, tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL, environ={name: "1"})
    (error,) = found.values()
    assert (error.code, error.place.file) == ("BP0107", name)
    if mend:
        assert error.mend == mend


def test_every_variable_listed_is_understood() -> None:
    """The reference lists a variable for each key; setting any of them is never `unknown`."""
    listed = [key.variable for key in config_keys(Config) if key.variable is not None and "<" not in key.variable]
    document = load_yaml(MINIMAL.encode(), "borderpost.yaml")
    found = apply_variables(document, Config, dict.fromkeys(listed, "[]"))
    assert len(listed) > 60
    assert not [error for error in found if error.code == "BP0107"]


def test_a_flag_with_an_unknown_key_is_an_error_at_the_flag(tmp_path: Path) -> None:
    (error,) = problems(tmp_path, MINIMAL, {"server.wrokers": "1"}).values()
    assert (error.code, error.place.file) == ("BP0102", "--set server.wrokers")
    assert error.mend == "did you mean `workers`?"


def test_a_value_that_is_no_yaml_is_an_error_at_its_origin(tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL, {"server.workers": "[1"}, {"BORDERPOST_ADMIN__PORT": "{"})
    assert {error.code for error in found.values()} == {"BP0101"}
    assert {error.place.file for error in found.values()} == {"--set server.workers", "BORDERPOST_ADMIN__PORT"}


def test_relative_paths_start_at_the_file_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    written(folder, MINIMAL + "events: {file: e.yaml}\naudit: {directory: /var/a}\ngeoip: {database: embedded}\n")
    written(folder, EVENTS, "e.yaml")
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("etc/borderpost.yaml"), {"server.directory": "sock"}, {}).config
    assert config.events.file == folder / "e.yaml"
    assert config.server.directory == folder / "sock"
    assert config.runtime.directory == folder / "run/state"
    assert config.audit.directory == Path("/var/a")
    assert config.geoip.database == "embedded"


def test_packs_are_read_by_name_and_by_path(tmp_path: Path) -> None:
    written(tmp_path, PACK, "house.yaml")
    loaded = load(tmp_path, MINIMAL + "policy: {packs: [starter, house.yaml]}\n")
    assert [pack.metadata.id for pack in loaded.bundle.packs] == [*STARTER, "house"]


def test_a_mistake_in_a_pack_has_the_pack_s_line(tmp_path: Path) -> None:
    path = written(tmp_path, PACK.replace("[DE, FR]", "[DE, QQ]"), "house.yaml")
    (error,) = problems(tmp_path, MINIMAL + "policy: {packs: [house.yaml]}\n").values()
    assert (error.code, error.place.file, error.place.line) == ("BP0201", str(path), 4)


@pytest.mark.parametrize(("pack", "code"), [("startr", "BP0213"), ("gone.yaml", "BP0003")])
def test_a_pack_that_is_not_there_is_shown_where_it_is_named(pack: str, code: str, tmp_path: Path) -> None:
    (error,) = problems(tmp_path, MINIMAL + f"policy:\n  packs:\n    - {pack}\n").values()
    assert (error.code, error.place.line, error.place.key) == (code, 8, "policy.packs[0]")


def test_events_are_read_and_their_mistakes_placed(tmp_path: Path) -> None:
    text = MINIMAL + "events: {file: e.yaml}\n"
    written(tmp_path, EVENTS, "e.yaml")
    assert [event.id for event in load(tmp_path, text).events.events] == ["ev-1"]
    path = written(tmp_path, EVENTS.replace("us-east-1", "us-west-9"), "e.yaml")
    (error,) = problems(tmp_path, text).values()
    assert (error.code, error.place.file, error.place.line) == ("BP0211", str(path), 4)


def test_an_events_file_that_is_not_there_is_shown_where_it_is_named(tmp_path: Path) -> None:
    (error,) = problems(tmp_path, MINIMAL + "events: {file: e.yaml}\n").values()
    assert (error.code, error.place.line, error.place.key) == ("BP0003", 6, "events.file")


def test_no_events_file_means_no_events() -> None:
    assert load_events(EventsSection(), ["a"]).events == ()


def test_names_that_must_exist_elsewhere_or_not_twice(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
here: {country: DE}
regions:
  a: {country: DE, cluster: same}
  b: {country: FR, cluster: same}
  c: {country: US, processing_scope: "zone:NOWHERE"}
tenants:
  acme: {san: ["spiffe://x/1"]}
  beta: {san: ["spiffe://x/1"], classes: [helth]}
routes:
  chat: {tenant: acem}
ranking:
  latency_ms: {DE: {a: 1, z: 2}, Nowhere: {a: 3}}
  probes:
    y: {address: "127.0.0.1:1"}
""",
    )
    lines = {key: error.place.line for key, error in found.items()}
    assert (
        lines.items()
        >= {
            "BP0108 regions.b.cluster": 4,
            "BP0108 tenants.beta.san[0]": 8,
            "BP0204 tenants.beta.classes[0]": 8,
            "BP0214 routes.chat.tenant": 10,
        }.items()
    )


def test_what_ranking_names_must_exist(tmp_path: Path) -> None:
    text = (
        MINIMAL + "ranking:\n  latency_ms: {DE: {zz: 2}, Nowhere: {us-east-1: 3}}\n  probes:\n    y: {address: 'a:1'}\n"
    )
    lines = {key: error.place.line for key, error in problems(tmp_path, text).items()}
    assert lines == {
        "BP0703 ranking.latency_ms.DE.zz": 7,
        "BP0704 ranking.latency_ms.Nowhere": 7,
        "BP0703 ranking.probes.y": 9,
    }


def test_a_zone_must_be_a_group(tmp_path: Path) -> None:
    text = MINIMAL.replace("{country: US}", "{country: US, processing_scope: 'zone:NOWHERE'}")
    (error,) = problems(tmp_path, text).values()
    assert (error.code, error.place.line) == ("BP0203", 4)


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("server: {mode: 0660}", "BP0104"),
        ('server: {mode: "0666"}', "BP0104"),
        ("server: {listen: tcp, host: 0.0.0.0}", "BP0104"),
        ("server: {listen: tcp, host: 0.0.0.0, tls: {certificate: c, key: k}}", "BP0104"),
        ("server: {listen: unix, tls: {certificate: c, key: k}}", "BP0104"),
        ("server: {listen: tcp, port: 65535, workers: 2}", "BP0104"),
        ("server: {listen: tcp, tls: {certificate: c, key: k, client_sans: [x]}}", "BP0104"),
        ("server: {listen: tcp, tls: {certificate: c, key: k, client_trust_domains: [x]}}", "BP0104"),
        ("server: {listen: tcp, tls: {certificate: c, key: k, client_ca: a, client_sans: ['*.x']}}", "BP0505"),
        ("server: {listen: tcp, tls: {certificate: c, key: k, client_ca: a, client_sans: ['spiffe://x']}}", "BP0505"),
        ("server: {listen: tcp, tls: {certificate: c, key: k, client_ca: a, client_sans: ['']}}", "BP0505"),
        (
            "server: {listen: tcp, tls: {certificate: c, key: k, client_ca: a, client_trust_domains: ['spiffe://x']}}",
            "BP0505",
        ),
        ("admin: {token_file: no-such-file}", "BP0506"),
        ("admin: {token_file: borderpost.yaml}", "BP0506"),
        ("server: {listen: tcp, peer_users: [0]}", "BP0503"),
        ("server: {listen: tcp, peer_groups: [0]}", "BP0503"),
        ("server: {engine: grpcio, peer_users: [0]}", "BP0503"),
        ("server: {engine: grpcio, peer_groups: [0]}", "BP0503"),
        ("server: {peer_users: [no-such-user]}", "BP0501"),
        ("server: {peer_users: [-1]}", "BP0104"),
        ("server: {peer_groups: [4294967295]}", "BP0104"),
        ("server: {peer_users: [true]}", "BP0104"),
        ("server: {user: -1}", "BP0104"),
        ("server: {engine: wire, peer_groups: [0, no-such-group]}", "BP0501"),
        ("server: {workers: 0}", "BP0104"),
        ("server: {workers: 65}", "BP0104"),
        ("server: {workers: many}", "BP0104"),
        ("admin: {port: 70000}", "BP0104"),
        ("logs: {level: loud}", "BP0104"),
        ("regions: {}", "BP0105"),
        ("nonsense: 1", "BP0102"),
    ],
)
def test_a_wrong_value_is_refused(section: str, code: str, tmp_path: Path) -> None:
    with pytest.raises((Problems, BorderpostError)) as caught:
        load(tmp_path, MINIMAL + section + "\n")
    errors = caught.value.errors if isinstance(caught.value, Problems) else (caught.value,)
    assert [error.code for error in errors] == [code]


@pytest.mark.parametrize(
    "section",
    [
        "server: {listen: tcp}",
        "server: {listen: tcp, host: 10.0.0.1, tls: {certificate: c, key: k, client_ca: a, client_sans: [x]}}",
        "server: {listen: tcp, tls: {certificate: c, key: k, client_ca: a, client_trust_domains: [x.y]}}",
        'server: {mode: "0600", user: envoy, group: 101}',
        "server: {peer_users: [root, 101], peer_groups: [root, 101]}",
        "server: {engine: wire, peer_users: [4294967294]}",
        "evidence: {unknown: {treat_as: [DE, FR]}}",
        "tenants: {acme: {san: spiffe://example/acme, classes: [personal], require_evidence: [token]}}",
    ],
)
def test_a_right_value_is_taken(section: str, tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + section + "\n")


def test_an_unknown_peer_is_shown_where_it_is_named(tmp_path: Path) -> None:
    (error,) = problems(tmp_path, MINIMAL + "server:\n  peer_users:\n    - root\n    - no-such-user\n").values()
    assert (error.code, error.place.key) == ("BP0501", "server.peer_users[1]")
    assert error.place.line is not None and "`no-such-user`" in error.detail and error.mend


@pytest.mark.parametrize(
    "text", ["", "here: {country: DE}\n", "regions: {a: {country: DE}}\n", "here: {country: DE}\nregions: {}\n"]
)
def test_here_and_regions_are_required(text: str, tmp_path: Path) -> None:
    assert {error.code for error in problems(tmp_path, text).values()} <= {"BP0103", "BP0104"}


def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(BorderpostError) as caught:
        load_config(tmp_path / "gone.yaml", {}, {})
    assert caught.value.code == "BP0003"


def test_every_key_has_a_description_of_its_own() -> None:
    bare = [key.dotted for key in config_keys(Config) if not key.description]
    assert not bare


def test_own_places_are_held_to_the_law_at_load_where_that_is_asked(tmp_path: Path) -> None:
    text = MINIMAL.replace("country: DE, subdivision: DE-HE", "country: CN") + "sinks: {bucket: {country: US}}\n"
    load(tmp_path, text)
    asked = text + "policy: {processors: {checked: at-load, subjects: EEA}}\n"
    found = problems(tmp_path, asked)
    assert found.keys() == {"BP0223 here", "BP0223 sinks.bucket"}
    assert all(error.place.line for error in found.values())
    assert "eu-gdpr" in found["BP0223 here"].detail
    load(tmp_path, asked.replace("subjects: EEA", "subjects: [BO]"))
