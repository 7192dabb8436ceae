"""Signed releases of packs: what is covered, who counts, and that nothing else becomes law where signers are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from borderpost.cli.main import main
from borderpost.config.load import Loaded, load_config
from borderpost_base.errors import BorderpostError, Problems

PACK = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: house, version: "1", as_of: 2026-11-20, not_legal_advice: true}
regimes:
  - id: house-rule
    title: House rule
    source: Board resolution
    applies_when: {subject_in: DE}
    allow: [{to: DE, basis: at-home}]
"""
CONFIG = """\
here: {country: DE}
regions: {frankfurt: {country: DE}}
region_defaults: {retention: same, telemetry: same}
policy: {packs: [base, house.yaml]}
pack_signatures: {signers: {ada: ada.pub.pem, bo: bo.pub.pem}, needed: NEEDED}
"""
SIGN = ("policy", "sign", "house.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("house.yaml").write_text(PACK)
    Path("borderpost.yaml").write_text(CONFIG.replace("NEEDED", "1"))
    for name in ("ada", "bo", "eve"):
        assert main(["events", "keygen", name]) == 0
    return tmp_path


def sign(name: str, *words: str) -> int:
    return main([*SIGN, "--key", f"{name}.key.pem", "--as", name, *words])


def load() -> Loaded:
    return load_config(Path("borderpost.yaml"), environ={})


def refused() -> list[tuple[str, str | None]]:
    with pytest.raises(Problems) as raised:
        load()
    return [(error.code, error.place.file) for error in raised.value.errors]


def signatures() -> list[str]:
    return [one["by"] for one in json.loads(Path("house.yaml.sig").read_text())["signatures"]]


def test_a_signed_pack_is_law_and_an_unsigned_one_is_not(folder: Path) -> None:
    assert refused() == [("BP1263", str(folder / "house.yaml"))]
    assert sign("ada") == 0
    assert [pack.metadata.id for pack in load().bundle.packs] == ["base", "house"]
    assert main(["policy", "verify", "house.yaml"]) == 0
    assert main(["check-config"]) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("to: DE", "to: FR"),
        lambda text: text.replace("subject_in: DE", "subject_in: FR"),
        lambda text: text.replace('"1"', '"2"'),
        lambda text: text.replace("id: house,", "id: other,"),
        lambda text: text.replace("basis: at-home", "basis: at-home, revocable: true"),
        lambda text: text + "groups: {A: [FR]}\n",
    ],
)
def test_whatever_the_pack_says_is_covered(folder: Path, change: Callable[[str], str]) -> None:
    assert sign("ada") == 0
    Path("house.yaml").write_text(change(PACK))
    assert refused() == [("BP1264", str(folder / "house.yaml.sig"))]
    assert main(["policy", "verify", "house.yaml"]) == 1


def test_layout_is_not_covered(folder: Path) -> None:
    assert sign("ada") == 0
    head, regimes = PACK.split("regimes:")
    Path("house.yaml").write_text("# Reviewed.\nregimes:" + regimes.replace("House rule", "'House rule'") + "\n" + head)
    assert load().bundle.packs[-1].metadata.version == "1"
    assert main(["policy", "fmt", "house.yaml"]) == 0
    assert load().bundle.packs[-1].metadata.version == "1"


def test_two_people_where_two_are_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("borderpost.yaml").write_text(CONFIG.replace("NEEDED", "2"))
    assert sign("ada") == 0
    assert refused() == [("BP1263", str(folder / "house.yaml.sig"))]
    assert sign("ada") == 2
    assert "BP1006" in capsys.readouterr().err
    assert sign("bo") == 0
    assert signatures() == ["ada", "bo"]
    assert load().bundle.packs
    Path("house.yaml").write_text(PACK.replace('"1"', '"2"'))
    assert sign("bo") == 0
    assert signatures() == ["bo"]
    assert "as it was are taken out" in capsys.readouterr().err


def test_only_those_who_are_named_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign("eve") == 2
    assert "BP1005" in capsys.readouterr().err
    Path("borderpost.yaml").rename("later.yaml")
    assert sign("eve") == 0
    Path("later.yaml").rename("borderpost.yaml")
    assert refused() == [("BP1005", str(folder / "house.yaml.sig"))]
    said = json.loads(Path("house.yaml.sig").read_text())
    said["signatures"][0]["by"] = "ada"
    Path("house.yaml.sig").write_text(json.dumps(said))
    assert refused() == [("BP1005", str(folder / "house.yaml.sig"))]


def test_one_bad_signature_spoils_the_file(folder: Path) -> None:
    """A signature that does not count is no reason to take the rest: somebody has been at the file."""
    assert sign("ada") == 0 and sign("bo") == 0
    said = json.loads(Path("house.yaml.sig").read_text())
    said["signatures"][1]["sig"] = said["signatures"][0]["sig"]
    Path("house.yaml.sig").write_text(json.dumps(said))
    assert refused() == [("BP1004", str(folder / "house.yaml.sig"))]


def test_a_signature_on_an_event_is_none_on_a_pack(folder: Path) -> None:
    from borderpost.events.signing import private_key_of_pem, signed_form
    from borderpost.events.signing import sign as signed

    assert sign("ada") == 0
    said = json.loads(Path("house.yaml.sig").read_text())
    key = private_key_of_pem(Path("ada.key.pem").read_bytes())
    said["signatures"] = [signed(signed_form("legal event", said["body"]), key, "ada").model_dump()]
    Path("house.yaml.sig").write_text(json.dumps(said))
    assert refused() == [("BP1004", str(folder / "house.yaml.sig"))]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{", '{"body": {"id": "house"}, "signatures": []}', "x" * 10**6])
def test_a_file_that_is_no_release_is_refused(folder: Path, text: str) -> None:
    Path("house.yaml.sig").write_text(text)
    assert refused() == [("BP1264", str(folder / "house.yaml.sig"))]


def test_a_signature_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    Path("house.yaml.sig").symlink_to(folder)
    assert refused() == [("BP0003", str(folder / "house.yaml.sig"))]


def test_what_has_no_canonical_form_is_not_signed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("house.yaml").write_text(PACK.replace("House rule", "Cafe\u0301"))
    assert sign("ada") == 2
    assert "BP1265" in capsys.readouterr().err
    assert not Path("house.yaml.sig").exists()


def test_built_in_packs_are_part_of_the_product(folder: Path) -> None:
    Path("borderpost.yaml").write_text(CONFIG.replace("NEEDED", "1").replace("house.yaml", "eu-gdpr"))
    assert load().bundle.packs


def test_more_signatures_than_people_can_never_be(folder: Path) -> None:
    Path("borderpost.yaml").write_text(CONFIG.replace("NEEDED", "3"))
    assert [code for code, _file in refused()] == ["BP0104"]


def test_signatures_are_watched_with_their_packs(folder: Path) -> None:
    assert sign("ada") == 0
    seen: list[Path] = []
    load_config(Path("borderpost.yaml"), environ={}, before_packs=seen.extend)
    assert [file.name for file in seen] == ["house.yaml", "house.yaml.sig"]


def test_verify_needs_to_know_whose_word_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign("ada") == 0
    capsys.readouterr()
    verify = ["policy", "verify", "house.yaml", "--json", "--signer", "ada=ada.pub.pem"]
    assert main(verify) == 0
    assert json.loads(capsys.readouterr().out)["packs"][0]["signed_by"] == ["ada"]
    assert main([*verify, "--needed", "2"]) == 2
    Path("borderpost.yaml").write_text("here: {country: DE}\nregions: {a: {country: DE}}\n")
    assert main(verify[:3]) == 2


def test_a_private_key_that_others_can_read_signs_nothing(folder: Path) -> None:
    Path("ada.key.pem").chmod(0o644)
    assert sign("ada") == 2
    assert not Path("house.yaml.sig").exists()
    with pytest.raises((BorderpostError, Problems)):
        load()
