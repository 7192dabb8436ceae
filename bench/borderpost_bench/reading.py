"""What reading one body costs in CPU, by what stands in it and by detector, without Envoy or a server around it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping

from borderpost.payload.detectors import Detector
from borderpost.payload.detectors.known import DETECTORS, DetectorSettings, make_detectors
from borderpost.payload.model import Payload, PayloadSpec
from borderpost.payload.pointer import parse_pointer
from borderpost.payload.reading import read_payload
from borderpost_base.errors import BorderpostError
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.measure import Settings
from borderpost_bench.targets import Target
from borderpost_bench.unavailable import Unavailable

SIZE_BYTES = 64 << 10
REPEATS = 15
_HEADERS = (("content-type", b"application/json"),)
_NAMES = tuple(name for name, kind in DETECTORS.items() if kind.extra != "presidio")


def bodies() -> Mapping[str, bytes]:
    """Return a body of 64 KiB of each kind: none holds anything that a detector is there for."""
    chance = random.Random(20_261_121)
    words = "the quick brown fox jumps over 12 lazy dogs and asks about contracts in 2026, up 3.5 percent. Order 44012 "
    prose = " ".join(chance.choices(words.split(), k=SIZE_BYTES))
    numbers = "\n".join(",".join(f"{chance.uniform(0, 1e4):.4f}" for _ in range(8)) for _ in range(2_000))
    log = "2026-11-21T13:50:27.123Z INFO req=8f3a9c12-77b1-4f0e 10.2.3.4:443 took 12.345 ms id=1763733027123\n"
    texts = {
        "prose": prose,
        "german": prose.replace("fox", "Füchse").replace("lazy", "„träge“"),
        "chinese": "合同于2026年签订，增长百分之3.5。订单44012号，" * 4_000,
        "code": 'def f(x):\n    return {"a": [1, 2, 3], "b": x[0]}  # 0x1234\n' * 2_000,
        "log": log * 1_000,
        "numbers": numbers,
    }
    return {kind: _body(text) for kind, text in texts.items()}


def measure_reading(_settings: Settings | None = None, _engine: str = "") -> Round:
    """Read each body without detectors, with each alone, and with all; the least CPU of some repeats counts."""
    detectors = make_detectors(DetectorSettings(name, "personal") for name in _NAMES)
    figures: dict[str, float] = {}
    faults: list[str] = []
    for kind, body in bodies().items():
        ways: dict[str, tuple[Detector, ...]] = {
            "read": (),
            **{each.name: (each,) for each in detectors},
            "all": detectors,
        }
        cost_us = {way: _cpu_us(body, these) for way, these in ways.items()}
        kib = len(body) / 1024
        for way, us in cost_us.items():
            alone = us if way in {"read", "all"} else us - cost_us["read"]
            figures[f"{kind}_{way}_per_kib_cpu_us"] = round(max(0.0, alone) / kib, 2)
        if _read(body, detectors).data_classes:
            faults.append(f"something was found in {kind}")
    return Round(figures=figures, faults=tuple(faults))


def _body(text: str) -> bytes:
    """Return a chat as a client sends it, of the size that is measured."""
    cut = text
    while (
        len(body := json.dumps({"model": "m", "messages": [{"content": cut}]}, ensure_ascii=False).encode())
        > SIZE_BYTES
    ):
        cut = cut[: int(len(cut) * SIZE_BYTES / len(body)) - 1]
    return body


def _read(body: bytes, detectors: tuple[Detector, ...]) -> Payload:
    spec = PayloadSpec(
        key=b"a key of sixteen", body_bytes_max=2 * SIZE_BYTES, model=parse_pointer("/model"),
        data_class=parse_pointer("/metadata/data_class"), detectors=detectors,
    )  # fmt: skip
    found = read_payload(_HEADERS, body, spec)
    if not isinstance(found, Payload):
        raise RuntimeError(f"a body of the bench was refused: {found.reason}")
    return found


def _cpu_us(body: bytes, detectors: tuple[Detector, ...]) -> float:
    taken_ns = []
    for _ in range(REPEATS):
        began_ns = time.process_time_ns()
        _read(body, detectors)
        taken_ns.append(time.process_time_ns() - began_ns)
    return min(taken_ns) / 1000


def _need(_settings: Settings, _engine: str) -> None:
    try:
        make_detectors(DetectorSettings(name, "personal") for name in _NAMES)
    except BorderpostError as error:
        raise Unavailable(error.detail) from error


READING = Experiment(
    name="reading", title="Reading one body of 64 KiB, by what stands in it", run=measure_reading, need=_need,
    by_default=False,
    targets=(
        Target(figure="prose_all_per_kib_cpu_us", what="64 KiB of prose with all detectors ≤ 5 ms", most=78.0),
        Target(figure="numbers_all_per_kib_cpu_us", what="64 KiB of numbers with all detectors ≤ 30 ms", most=470.0),
    ),
)  # fmt: skip
