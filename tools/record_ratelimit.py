"""Record what the real envoyproxy/ratelimit answers, so that tests can hold ours against it without Go.

    python tools/record_ratelimit.py            write tests/data/ratelimit/*.jsonl
    python tools/record_ratelimit.py --check    change nothing; exit 1 if it would come out otherwise

What is asked comes from a seed (tests/support/ratelimit_runs.py). The program is built by Go from the version that
bench/rivals/ratelimit/go.mod names, once, into the user's cache; it counts in a redis-server that is started here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import ratelimit_corpus, ratelimit_file_cases, ratelimit_json_cases, ratelimit_oracle
from support.ratelimit_runs import CORPUS, FILES, QUESTIONS, recorded

_RANDOM_FILES, _SEED = 60, 8


def main() -> int:
    """Record or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if it would come out otherwise")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "made"
        made.mkdir()
        for kind, run in recorded().items():
            directory = Path(name) / kind
            directory.mkdir()
            ratelimit_corpus.write(ratelimit_oracle.record(run, directory), made / f"{kind}.jsonl")
        (made / FILES.name).write_text(_verdicts(Path(name)), encoding="utf-8")
        (made / QUESTIONS.name).write_text(_in_json(Path(name)), encoding="utf-8")
        differing = [path.name for path in sorted(made.iterdir()) if not _same(path, CORPUS / path.name)]
        if not arguments.check:
            CORPUS.mkdir(parents=True, exist_ok=True)
            for file in differing:
                (CORPUS / file).write_bytes((made / file).read_bytes())
    for file in differing:
        print(f"{'differs' if arguments.check else 'written'}: {file}")
    return 1 if arguments.check and differing else 0


def _verdicts(directory: Path) -> str:
    texts = ratelimit_file_cases.cases(_RANDOM_FILES, _SEED)
    folder = directory / "files"
    folder.mkdir()
    told = ratelimit_oracle.verdicts(texts, folder)
    rows = [
        {"name": name, "text": text, "error": told[name]["error"], "rules": told[name]["rules"]}
        for name, text in texts.items()
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).replace(f"{folder}/", "")


def _in_json(directory: Path) -> str:
    folder = directory / "json"
    folder.mkdir()
    with ratelimit_oracle.oracle(ratelimit_json_cases.RUN, folder) as server:
        server.ask(ratelimit_json_cases.RUN.asked[0])
        told = [(body, *server.ask_in_json(body)) for body in ratelimit_json_cases.BODIES]
    rows = [{"body": body, "status": status, "answer": answer} for body, status, answer in told]
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    raise SystemExit(main())
