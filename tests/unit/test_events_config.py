"""Configured signers and lists: keys in every form, one person one key, and which list goes with which signers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from borderpost.config.event_list import load_events
from borderpost.config.events import EventsSection, signers_of
from borderpost.config.load import load_config
from borderpost.events.signing import key_digest, private_key_of_pem, private_pem, public_key_of, public_pem
from borderpost.events.store import FileStore
from borderpost.policy.fields import format_instant
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import load_yaml
from support.signed_lists import BEGINNING, ListWriter

KEY = Ed25519PrivateKey.from_private_bytes(b"one key for all of these tests .")
RAW = KEY.public_key().public_bytes_raw()
DIGEST = key_digest(KEY.public_key())
CONFIG = """\
here: {country: DE}
regions: {eu-1: {country: DE}}
region_defaults: {retention: same, telemetry: same}
events:
"""


def section(text: str) -> EventsSection:
    return validate(EventsSection, load_yaml(text.encode(), "c.yaml"))


def faults(call: object, *arguments: object) -> list[BorderpostError]:
    with pytest.raises((BorderpostError, Problems)) as caught:
        call(*arguments)  # type: ignore[operator]
    error = caught.value
    return list(error.errors) if isinstance(error, Problems) else [error]  # type: ignore[list-item]


def test_a_key_is_a_file_or_itself(tmp_path: Path) -> None:
    pem = tmp_path / "ada.pub.pem"
    pem.write_bytes(public_pem(KEY.public_key()))
    for text in (str(pem), RAW.hex(), RAW.hex().upper(), base64.b64encode(RAW).decode()):
        for form in (f"{text}", f"[{text}]", f"{{{'file' if text == str(pem) else 'key'}: {text}}}"):
            (key,) = signers_of(section(f"signers: {{ada: {form}}}"))["ada"]
            assert (key.digest, key.until) == (DIGEST, None)


def test_a_replaced_key_stays_listed() -> None:
    old = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    read = section(f"signers: {{ada: [{{key: {old}, until: 2026-06-01}}, {RAW.hex()}]}}")
    first, second = signers_of(read)["ada"]
    assert first.until == datetime(2026, 6, 1, tzinfo=UTC)
    assert second.until is None


@pytest.mark.parametrize(
    "signers",
    [
        f"{{ada: {RAW.hex()}, bo: {RAW.hex()}}}",
        f"{{ada: {RAW.hex()}, bo: {base64.b64encode(RAW).decode()}}}",
        f"{{ada: [{RAW.hex()}, {RAW.hex()}]}}",
    ],
)
def test_a_key_has_one_owner(signers: str) -> None:
    (error,) = faults(signers_of, section(f"signers: {signers}"))
    assert error.code == "BP1015"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{}", "BP1015"),
        (f"{{file: a.pem, key: {RAW.hex()}}}", "BP1015"),
        ("{key: abc}", "BP1015"),
        ("{key: '" + "00" * 32 + "'}", "BP1015"),
        ("{key: '01" + "00" * 31 + "'}", "BP1015"),
        ("'" + "00" * 31 + "80'", "BP1015"),
        ("ec" + "ff" * 31, "BP1015"),
        ("[]", "BP0104"),
        ("5", "BP0104"),
        (f"{{key: {RAW.hex()}, until: yesterday}}", "BP0207"),
        (f"{{key: {RAW.hex()}, unheard: of}}", "BP0102"),
    ],
)
def test_what_is_no_key(spec: str, code: str) -> None:
    errors = faults(section, f"signers:\n  ada: {spec}\n")
    assert {error.code for error in errors} == {code}
    assert {error.place.line for error in errors} == {2}


def test_a_file_that_holds_no_public_key(tmp_path: Path) -> None:
    file = tmp_path / "k.pem"
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    zero = public_pem(KEY.public_key()).replace(base64.b64encode(RAW)[-20:], b"A" * 19 + b"=")
    for content in (b"", b"x" * 20_000, private_pem(KEY), other.public_bytes(encoding, form), zero[:60]):
        file.write_bytes(content)
        (error,) = faults(signers_of, section(f"signers: {{ada: {file}}}"))
        assert error.code == "BP1015"
        assert private_pem(KEY).decode()[30:60] not in str(error)
    file.unlink()
    (error,) = faults(signers_of, section(f"signers: {{ada: {file}}}"))
    assert error.code == "BP0003"


def test_a_private_key_that_cannot_sign_here() -> None:
    locked = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for pem, word in ((locked, "encrypted"), (public_pem(KEY.public_key()), "no private key"), (b"", "no private key")):
        with pytest.raises(ValueError, match=word):
            private_key_of_pem(pem)
    assert private_key_of_pem(private_pem(KEY)).public_key() == KEY.public_key()
    assert public_key_of("some/path.pem") is None


def configured(folder: Path, events: str, list_: ListWriter | None = None) -> Path:
    path = folder / "borderpost.yaml"
    path.write_text(CONFIG + events)
    if list_ is not None:
        (folder / "law.jsonl").write_bytes(b"".join(line + b"\n" for line in list_.lines))
    return path


def signers_text(writer: ListWriter) -> str:
    return "  signers: {" + ", ".join(f"{name}: {key}" for name, key in writer.config().items()) + "}\n"


def test_a_signed_list_is_read_with_the_configuration(tmp_path: Path) -> None:
    writer = ListWriter()
    writer.add("ev-1")
    path = configured(tmp_path, "  file: law.jsonl\n" + signers_text(writer), writer)
    loaded = load_config(path, environ={})
    assert [event.id for event in loaded.events.events] == ["ev-1"]
    assert (loaded.events.file.length, loaded.events.file.head) == (1, writer.head)


def test_signers_files_lie_beside_the_configuration(tmp_path: Path) -> None:
    writer = ListWriter()
    writer.add("ev-1")
    (tmp_path / "keys").mkdir()
    for name, key in writer.keys.items():
        (tmp_path / f"keys/{name}.pem").write_bytes(public_pem(key.public_key()))
    events = "  file: law.jsonl\n  signers: {ada: keys/ada.pem, bo: [{file: keys/bo.pem}]}\n"
    loaded = load_config(configured(tmp_path, events, writer), environ={})
    assert loaded.events.file.length == 1


def test_faults_of_a_signed_list_are_told_with_their_lines(tmp_path: Path) -> None:
    writer, stranger = ListWriter(), ListWriter()
    writer.add("ev-1")
    writer.add("ev-1")
    path = configured(tmp_path, "  file: law.jsonl\n" + signers_text(writer), writer)
    (error,) = faults(load_config, path, None, {})
    assert (error.code, error.place.file, error.place.line) == ("BP1007", str(tmp_path / "law.jsonl"), 2)
    (error, _) = faults(load_config, configured(tmp_path, "  file: law.jsonl\n" + signers_text(stranger)), None, {})
    assert error.code == "BP1005"


def test_a_list_that_is_dated_ahead_is_refused(tmp_path: Path) -> None:
    writer = ListWriter()
    writer.add("ev-1", at=datetime(2999, 1, 1, tzinfo=UTC))
    path = configured(tmp_path, "  file: law.jsonl\n" + signers_text(writer), writer)
    (error,) = faults(load_config, path, None, {})
    assert error.code == "BP1003"


def test_a_list_shorter_than_its_heartbeat_is_refused(tmp_path: Path) -> None:
    writer = ListWriter()
    writer.add("ev-1")
    heartbeat = writer.heartbeat(BEGINNING)
    writer.lines.clear()
    path = configured(tmp_path, "  file: law.jsonl\n" + signers_text(writer), writer)
    FileStore(tmp_path / "law.jsonl").put_heartbeat(heartbeat)
    (error,) = faults(load_config, path, None, {})
    assert error.code == "BP1012"


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ("  file: law.jsonl\n", "BP1014"),
        (f"  file: law.yaml\n  signers: {{ada: {RAW.hex()}}}\n", "BP1014"),
        (f"  file: law.jsonl\n  signers: {{ada: {RAW.hex()}}}\n", "BP0003"),
        (f"  file: law.jsonl\n  signers: {{ada: {RAW.hex()}, bo: {RAW.hex()}}}\n", "BP1015"),
        ("  file: law.jsonl\n  signers: {ada: gone.pem}\n", "BP0003"),
    ],
)
def test_list_and_signers_go_together(tmp_path: Path, events: str, code: str) -> None:
    (error,) = faults(load_config, configured(tmp_path, events), None, {})
    assert error.code == code
    assert error.place.file == str(tmp_path / "borderpost.yaml")
    assert error.place.line is not None
    assert error.place.line >= 5


PLAIN = """\
events:
  - id: ev-1
    type: region_suspend
    scope: {regions: [eu-1]}
    effective_from: 2026-11-01
    recorded_at: 2026-11-01T08:00:00Z
    source: a court
    reason: an injunction
"""
_APPROVAL = f"{{by: ada, key: '{DIGEST}', at: 2026-11-01, signature: {'A' * 86}==}}"


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("type: region_suspend", "type: region_restore", "BP0224", 3),
        ("    source", "    trigger: t\n    source", "BP1016", 7),
        ("    source", f"    approvals: [{_APPROVAL}]\n    source", "BP1016", 7),
        ("type: region_suspend\n    scope: {regions: [eu-1]}", "type: threshold_reached\n    counter: c\n    count: 5",
         "BP1016", 3),
        ("events:", f"head: {'a' * 64}\nevents:", "BP1016", 1),
        ("events:", "length: 5\nevents:", "BP1016", 1),
        ("events:", "clock_error_us: 5\nevents:", "BP1016", 1),
        ("eu-1", "eu-9", "BP0211", 4),
    ],
)  # fmt: skip
def test_a_plain_file_says_only_what_narrows_and_people_say(
    tmp_path: Path, old: str, new: str, code: str, line: int
) -> None:
    file = tmp_path / "law.yaml"
    file.write_text(PLAIN)
    assert [event.id for event in load_events(EventsSection(file=file), ["eu-1"]).events] == ["ev-1"]
    file.write_text(PLAIN.replace(old, new))
    error = faults(load_events, EventsSection(file=file), ["eu-1"])[0]
    assert (error.code, error.place.file, error.place.line) == (code, str(file), line), error


def test_a_plain_file_that_claims_approvals_widens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "law.yaml"
    other = _APPROVAL.replace("ada", "bo").replace(DIGEST, "sha256:" + "0" * 64)
    claimed = f"    approvals: [{_APPROVAL}, {other}]\n    source"
    file.write_text(PLAIN.replace("region_suspend", "region_restore").replace("    source", claimed))
    assert {error.code for error in faults(load_events, EventsSection(file=file), ["eu-1"])} == {"BP1016"}


def test_instants_of_keys_are_told(tmp_path: Path) -> None:
    writer = ListWriter()
    writer.add("ev-1")
    signers = f"  signers: {{ada: {{key: {writer.config()['ada']}, until: 2020-01-01}}}}\n"
    (error,) = faults(load_config, configured(tmp_path, "  file: law.jsonl\n" + signers, writer), None, {})
    assert format_instant(datetime(2020, 1, 1, tzinfo=UTC)) in error.detail
