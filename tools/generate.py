"""Write, or check, every file of the repository that is made from something else.

    python tools/generate.py                 write what is stale, name it
    python tools/generate.py --check         change nothing; exit 1 if something is stale
    python tools/generate.py --only proto    one kind: proto, reference, policy, ratelimit, packs, doctor, schema,
                                             envoy, istio, wire, chart, kubernetes

A generator is a function from the repository's root to {path relative to it: content}. Files below a generator's
folders that it no longer makes are removed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chart_docs
import generate_doctor
import generate_envoy
import generate_envoy_gateway
import generate_istio
import generate_kubernetes
import generate_packs
import generate_policy
import generate_proto
import generate_ratelimit
import generate_reference
import generate_schema
import generate_wire

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Generator:
    """One kind of generated files."""

    make: Callable[[Path], Mapping[Path, bytes]]
    owned: tuple[str, ...]
    """Patterns of the files that nothing else may put there, but for those that another one names in full."""


GENERATORS: dict[str, Generator] = {
    "proto": Generator(
        generate_proto.generate, ("proto/borderpost_proto/*_pb2.py", "proto/borderpost_proto/*_pb2.pyi")
    ),
    "reference": Generator(generate_reference.generate, ("docs/reference/*.md",)),
    "policy": Generator(generate_policy.generate, (str(generate_policy.PAGE),)),
    "ratelimit": Generator(generate_ratelimit.generate, (str(generate_ratelimit.PAGE),)),
    "packs": Generator(generate_packs.generate, (str(generate_packs.PAGE),)),
    "doctor": Generator(generate_doctor.generate, (str(generate_doctor.PAGE),)),
    "schema": Generator(generate_schema.generate, ("docs/reference/schema/*.json",)),
    "envoy": Generator(generate_envoy.generate, ("envoy/rendered/*",)),
    "envoy-gateway": Generator(generate_envoy_gateway.generate, (f"{generate_envoy_gateway.FOLDER}/*",)),
    "istio": Generator(generate_istio.generate, (f"{generate_istio.FOLDER}/*.yaml",)),
    "wire": Generator(generate_wire.generate, ("wire/README.md",)),
    "chart": Generator(chart_docs.generate, ()),
    "kubernetes": Generator(generate_kubernetes.generate, ("istio/manifests/*", "istio/kustomize/base/*")),
}


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale")
    parser.add_argument("--only", choices=tuple(GENERATORS), action="append", help="only this kind; may be repeated")
    arguments = parser.parse_args()
    stale = [found for name in arguments.only or GENERATORS for found in bring_up(GENERATORS[name], arguments.check)]
    for found in stale:
        print(f"{'stale' if arguments.check else 'written'}: {found}")
    if stale and arguments.check:
        print("hint: run `make generate`", file=sys.stderr)
    return 1 if stale and arguments.check else 0


def bring_up(generator: Generator, check: bool) -> list[str]:
    """Write what a generator makes (unless `check`); return the paths that were stale, wrong or left over."""
    made = generator.make(ROOT)
    stale = []
    for relative, content in sorted(made.items()):
        path = ROOT / relative
        if path.is_file() and path.read_bytes() == content:
            continue
        stale.append(str(relative))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    named = {pattern for other in GENERATORS.values() if other is not generator for pattern in other.owned}
    for pattern in generator.owned:
        for left in sorted(ROOT.glob(pattern)):
            if left.is_file() and left.relative_to(ROOT) not in made and str(left.relative_to(ROOT)) not in named:
                stale.append(f"{left.relative_to(ROOT)} (nothing makes it any more)")
                if not check:
                    left.unlink()
    return stale


if __name__ == "__main__":
    sys.exit(main())
