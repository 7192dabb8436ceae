"""Anonymisers from file to answer: published, copied beside the log, named by records, taken anew while serving."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost_base.errors import BorderpostError
from support.audit import lines_of
from support.mmdb_writer import BUILD_EPOCH_S, write_mmdb
from support.worker_parts import BRITISH, WorkerParts, question, worker_parts

LISTED = {"geoip": {"anonymisers": ["exits.txt", "exits.mmdb"]}}


def write(directory: Path, text: str = "9.9.9.9\n", *, build_epoch_s: int = BUILD_EPOCH_S, **flags: bool) -> None:
    """Replace both files, as they should be: by renaming."""
    (directory / "fresh").write_text(text)
    (directory / "fresh").rename(directory / "exits.txt")
    networks = {"8.8.8.0/24": {"is_anonymous": True}, **({"212.58.244.0/28": flags} if flags else {})}
    fresh = write_mmdb(directory / "fresh", networks, database_type="GeoIP2-Anonymous-IP", build_epoch_s=build_epoch_s)
    fresh.rename(directory / "exits.mmdb")


async def looked(parts: WorkerParts) -> list[dict[str, Any]]:
    """Let the publication look until a change counts, and the worker take it; return what was logged."""
    with capture_logs() as told:
        for _ in range(2):
            await parts.publication.look_for_changes()
    await parts.take()
    return [dict(line) for line in told]


async def answer(parts: WorkerParts, address: str = BRITISH) -> str:
    """Return the cluster, or status and reason of the refusal."""
    call = await parts.ask(question(address))
    if call.cluster is not None:
        return call.cluster
    status, body = call.refusal
    return f"{status} {json.loads(body)['reason']}"


def records(parts: WorkerParts, kind: str) -> list[dict[str, Any]]:
    return [record for line in lines_of(parts.audit) if (record := parse(line))["type"] == kind]


def test_what_is_flagged_is_not_believed_and_the_files_are_kept_for_replay(tmp_path: Path) -> None:
    async def main() -> None:
        write(tmp_path, f"{BRITISH}\n")
        async with worker_parts(tmp_path, changes=LISTED) as parts:
            view = await parts.take()
            assert await answer(parts) == "403 unknown-subject"
            assert await answer(parts, "212.58.244.21") == "eu-1"
            assert parts.metrics.geoip_doubted_total.get("anonymiser") == 1
            assert parts.metrics.geoip_unknown_total.get() == 0
            (activated,) = records(parts, "anonymisers.activate")
            assert activated["files"] == sorted(file.digest for file in view.anonymisers.files)
            for decided in records(parts, "decision"):
                assert decided["inputs"]["anonymisers"] == activated["digest"] == view.anonymisers.digest
            for digest in (activated["digest"], *activated["files"]):
                assert parts.inputs.is_intact(digest)
            assert json.loads(parts.inputs.get(activated["digest"]))["files"] == activated["files"]
            evidence = [record["jur"]["evidence"] for record in records(parts, "decision")]
            assert [piece.get("doubt") for (piece,) in evidence] == ["anonymiser", None]
        assert verify(parts.audit).findings == []
        parts.inputs.path(activated["files"][0]).unlink()
        assert verify(parts.audit).findings, "a file that is gone is missed"

    asyncio.run(main())


def test_without_any_nothing_is_published_or_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            assert await answer(parts) == "eu-1"
            assert records(parts, "anonymisers.activate") == []
            assert "anonymisers" not in records(parts, "decision")[0]["inputs"]

    asyncio.run(main())


def test_other_files_are_taken_while_serving_and_recognised_hosts_are_asked_for_again(tmp_path: Path) -> None:
    async def main() -> None:
        write(tmp_path)
        async with worker_parts(tmp_path, changes=LISTED) as parts:
            assert [await answer(parts) for _ in range(2)] == ["eu-1"] * 2
            write(tmp_path, f"{BRITISH}/32 hosting\n")
            await looked(parts)
            assert await answer(parts) == "403 unknown-subject"
            assert parts.metrics.reload_total.get("anonymisers", "taken") == 1
            write(tmp_path, is_anonymous=True, is_anonymous_vpn=True)
            await looked(parts)
            assert await answer(parts, "212.58.244.5") == "403 unknown-subject"
            assert await answer(parts) == "eu-1"
            assert len({record["digest"] for record in records(parts, "anonymisers.activate")}) == 3
            generation = parts.page.generation
            write(tmp_path, is_anonymous=True, is_anonymous_vpn=True)
            await looked(parts)
            assert parts.page.generation == generation, "the same bytes are nothing new"

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["a line", "nothing in it", "gone", "older"])
def test_files_that_cannot_be_used_leave_the_last_good_ones(tmp_path: Path, damage: str) -> None:
    async def main() -> None:
        write(tmp_path, f"{BRITISH}\n")
        async with worker_parts(tmp_path, changes=LISTED) as parts:
            if damage == "gone":
                (tmp_path / "exits.txt").unlink()
            elif damage == "older":
                write(tmp_path, build_epoch_s=BUILD_EPOCH_S - 1)
            else:
                (tmp_path / "exits.txt").write_text("nonsense\n" if damage == "a line" else "")
            told = await looked(parts)
            codes = {"a line": "BP0309", "nothing in it": "BP0302", "gone": "BP0301", "older": "BP0611"}
            assert [line["code"] for line in told if line["log_level"] == "error"] == [codes[damage]]
            assert await answer(parts) == "403 unknown-subject"
            assert parts.metrics.reload_total.get("anonymisers", "refused") == 1
            with pytest.raises(BorderpostError, match=codes[damage]):
                parts.reload(LISTED)
            await parts.take()
            assert await answer(parts) == "403 unknown-subject"
            write(tmp_path)
            await looked(parts)
            assert await answer(parts) == "eu-1"

    asyncio.run(main())


def test_a_new_configuration_brings_and_takes_away(tmp_path: Path) -> None:
    server, exit_ = BRITISH, "212.58.244.99"

    async def main() -> None:
        write(tmp_path, f"{server} hosting\n{exit_} vpn\n")
        async with worker_parts(tmp_path) as parts:
            assert await answer(parts, exit_) == "eu-1"
            parts.reload({**LISTED, "evidence": {"geoip": {"hosting": "believe"}}})
            await parts.take()
            assert [await answer(parts, each) for each in (server, exit_)] == ["eu-1", "403 unknown-subject"]
            parts.reload({})
            view = await parts.take()
            assert not view.anonymisers
            assert await answer(parts, exit_) == "eu-1"
            assert "anonymisers" not in records(parts, "decision")[-1]["inputs"]
            assert [len(record["files"]) for record in records(parts, "anonymisers.activate")] == [2, 0]
        assert verify(parts.audit).findings == []

    with capture_logs() as told:
        asyncio.run(main())
    assert not [line for line in told if line["log_level"] == "error"]


def test_a_file_that_changes_before_it_is_copied_is_not_decided_by(tmp_path: Path) -> None:
    async def main() -> None:
        write(tmp_path, f"{BRITISH}\n")
        async with worker_parts(tmp_path, changes=LISTED, opened=False) as parts:
            write(tmp_path, "7.7.7.7\n")  # opened by the steward, not yet copied by the worker
            parts.publication.publish()
            with capture_logs() as told:
                parts.look()
                for _ in range(200):
                    await asyncio.sleep(0.005)
                    if told:
                        break
            assert parts.live.view is None
            assert any("BP0602" in str(line.get("error")) for line in told)

    asyncio.run(main())
