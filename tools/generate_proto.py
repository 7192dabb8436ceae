"""Generate the message modules and their stubs from our .proto files.

Run by hand (`make proto`) and by the driver of all generated files. The output is checked in, and depends on
nothing but the .proto files and the pinned versions of grpcio-tools and mypy-protobuf.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCE_ROOT = Path("proto")
"""Source root that holds the package; import paths in the generated modules start below it."""
PACKAGE = Path("borderpost_proto")


def generate(root: Path) -> dict[Path, bytes]:
    """Return what is generated: path relative to `root` (the repository) → content.

    Raises RuntimeError with the compiler's words if a .proto file does not compile.
    """
    source_root = root / SOURCE_ROOT
    sources = sorted((source_root / PACKAGE).glob("*.proto"))
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy"
    with tempfile.TemporaryDirectory() as target:
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={source_root}",
            f"--plugin=protoc-gen-mypy={plugin}",
            f"--python_out={target}",
            f"--mypy_out=quiet:{target}",
            *(str(source.relative_to(source_root)) for source in sources),
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"protoc failed:\n{run.stderr}")
        made = sorted(path for path in Path(target).rglob("*") if path.is_file())
        return {SOURCE_ROOT / path.relative_to(target): path.read_bytes() for path in made}


def main() -> int:
    """Write the files, or with `--check` name those that differ and return 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    files = generate(root)
    stale = [path for path, content in files.items() if not _holds(root / path, content)]
    for path in stale:
        if not arguments.check:
            (root / path).write_bytes(files[path])
        print(f"{'stale' if arguments.check else 'written'}: {path}")
    return 1 if arguments.check and stale else 0


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main())
