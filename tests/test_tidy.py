"""House style as a test: arrows between packages, lengths, docstrings, and nothing that belongs elsewhere."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from borderpost_base.errors import ERRORS
from borderpost_base.limits import LIMITS
from borderpost_base.metrics import METRICS, PREFIX
from support.architecture import ARROWS, BESIDE, HEAVY, LEVELS, PURE

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("extauthz", "wire", "proto", "envoy", "istio", "ratelimit", "bench")

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 80


@functools.cache
def sources() -> dict[str, Path]:
    """Return every module of the product by its dotted name."""
    found = {}
    for root in SOURCE_ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def generated(path: Path) -> bool:
    return path.stem.endswith("_pb2")


def written() -> list[Path]:
    """Return every Python file that people write, tests and tools included."""
    others = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    return sorted(path for path in [*sources().values(), *others] if not generated(path))


@functools.cache
def texts() -> dict[Path, str]:
    """Return every text file of the repository that is, or could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            raw = path.read_bytes()
            if b"\0" not in raw:
                found[path] = raw.decode("utf-8")
    return found


def imports(module: str, path: Path) -> set[str]:
    """Return the dotted names that a module imports anywhere in it; `from x import y` gives `x.y` where a module."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in sources() else base for a in node.names}
    return found


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def place_of(module: str) -> str | None:
    """Return the entry of the arrows that a module falls under."""
    known = [name for name in (*ARROWS, *(name for level in LEVELS for name in level)) if within(module, {name})]
    return max(known, key=len, default=None)


def allowed(place: str) -> set[str]:
    if place in ARROWS:
        return ARROWS[place] | {place}
    below = {
        name for level in LEVELS[: next(n for n, level in enumerate(LEVELS) if place in level) + 1] for name in level
    }
    if place in BESIDE:
        return BESIDE[place] | {place}
    if place not in {"borderpost.cli", "borderpost.demo"}:
        below -= BESIDE.keys()
    return below | set(ARROWS)


def our(name: str) -> bool:
    return name.split(".")[0].startswith("borderpost")


def short(paths: object) -> str:
    return str(paths).replace(str(ROOT) + "/", "")


def test_every_module_has_its_place_in_the_arrows() -> None:
    lost = [module for module in sources() if module != "borderpost" and place_of(module) is None]
    assert not lost, f"give these a place in ARROWS or LEVELS: {lost}"


def test_arrows_point_one_way() -> None:
    wrong = []
    for module, path in sorted(sources().items()):
        place = place_of(module)
        reach = allowed(place) if place else set()
        beyond = sorted(name for name in imports(module, path) if our(name) and not within(name, reach))
        wrong += [f"{module} must not import {name}" for name in beyond]
    assert not wrong, "\n".join(wrong)


def test_policy_is_pure() -> None:
    for module, path in sources().items():
        if within(module, {"borderpost.policy"}):
            outside = {name for name in imports(module, path) if not our(name)}
            assert not {name for name in outside if not within(name, PURE)}, module
            called = [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
            clocks = [name for name in called if re.search(r"\b(now|today|utcnow|open)$", name)]
            assert not clocks, f"{module} asks {clocks}"


def test_only_the_renderer_imports_the_typed_envoy_model() -> None:
    for module, path in sources().items():
        if not within(module, {"borderpost_envoy", "borderpost_istio"}):
            assert not {name for name in imports(module, path) if within(name, HEAVY)}, module


def test_the_serving_processes_load_nothing_of_rendering_or_the_bench() -> None:
    program = (
        "import sys, borderpost.steward, borderpost.worker\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "{'envoy_data_plane', 'betterproto2', 'borderpost_envoy', 'borderpost_istio', 'borderpost_bench', "
        "'hypothesis', 'pytest'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_each_file_says_its_subject_and_keeps_to_its_length() -> None:
    found = []
    for path in written():
        text = path.read_text(encoding="utf-8")
        if text.strip() and not ast.get_docstring(tree(path)):
            found.append(f"{short(path)}: no module docstring")
        if (lines := len(text.splitlines())) > FILE_LINES_MAX:
            found.append(f"{short(path)}: {lines} lines")
        functions = [n for n in ast.walk(tree(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        lengths = {n.name: (n.end_lineno or n.lineno) - n.lineno + 1 for n in functions}
        found += [f"{short(path)}: {n} has {v} lines" for n, v in lengths.items() if v > FUNCTION_LINES_MAX]
    assert not found, "\n".join(found)


def test_no_error_is_swallowed() -> None:
    handlers = [
        (path, node) for path in written() for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)
    ]
    silent = [(path, node) for path, node in handlers if all(isinstance(part, ast.Pass) for part in node.body)]
    everything = {"", "Exception", "BaseException"}
    assert not [f"{short(p)}:{n.lineno}" for p, n in silent if (ast.unparse(n.type) if n.type else "") in everything]


def test_nothing_is_left_to_do() -> None:
    mark = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    left = [
        f"{path}:{n}"
        for path, text in texts().items()
        for n, line in enumerate(text.splitlines(), 1)
        if mark.search(line)
    ]
    assert not left, short(left)


def registry_hosts() -> set[str]:
    """Return the hosts of package registries: the well-known ones, and those that this machine is set up for."""
    names = (
        "pypi org", "pythonhosted org", "npmjs org", "npmjs com", "yarnpkg com", "docker io", "ghcr io", "quay io",
        "gcr io", "public ecr aws", "proxy golang org", "deb debian org", "crates io", "jfrog io",
    )  # fmt: skip
    hosts = {name.replace(" ", ".") for name in names}
    told = " ".join(value for key, value in os.environ.items() if re.search(r"INDEX|REGISTRY|GOPROXY|FIND_LINKS", key))
    configured = [Path.home() / ".npmrc", Path.home() / ".config/pip/pip.conf", Path("/etc/pip.conf")]
    for file in configured:
        if file.is_file():
            told += " " + file.read_text(errors="replace")
    found = set(re.findall(r"https?://(?:[^/@\s]*@)?([\w.-]+)", told))
    return hosts | (found - {"localhost", "127.0.0.1"})


def test_no_registry_is_named() -> None:
    hosts = sorted(registry_hosts())
    mark = re.compile("|".join(rf"(?<![\w-]){re.escape(host)}(?![\w-])" for host in hosts))
    found = [f"{path}: {match[0]}" for path, text in texts().items() if (match := mark.search(text))]
    assert not found, short(found)


def test_no_path_of_somebody_s_machine_is_named() -> None:
    mark = re.compile(r"(?<![\w.$}/-])/(?:work|root|home|Users|mnt|workspace)/[\w.]+")
    found = [f"{path}: {match[0]}" for path, text in texts().items() if (match := mark.search(text))]
    assert not found, short(found)


def product_literals() -> dict[str, set[Path]]:
    """Return every error code that stands as a literal in the product, outside the tables, and where."""
    tables = ROOT / "extauthz/borderpost_base/errors"
    found: dict[str, set[Path]] = {}
    for path in sources().values():
        if tables in path.parents:
            continue
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree(path))
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for code in re.findall(r"\bBP\d{4}\b", node.value):
                    found.setdefault(code, set()).add(path)
    return found


def test_each_error_code_used_is_registered() -> None:
    unknown = {code: short(where) for code, where in product_literals().items() if code not in ERRORS}
    assert not unknown


def test_each_registered_error_code_is_used() -> None:
    assert not sorted(set(ERRORS) - set(product_literals()))


def test_each_error_has_its_place_in_the_reference() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert not [code for code in ERRORS if f"## {code}" not in text]


def mentions(word: str, but: str) -> bool:
    mark = re.compile(rf"\b{word}\b")
    return any(mark.search(path.read_text(encoding="utf-8")) for path in sources().values() if path.name != but)


def test_each_limit_bounds_something() -> None:
    assert not [name for name in LIMITS if not mentions(name.upper(), "limits.py")]


def test_each_metric_is_measured() -> None:
    assert not [name for name in METRICS if not mentions(rf"\.{name.removeprefix(PREFIX)}", "metrics.py")]


def test_every_package_is_typed() -> None:
    for root in SOURCE_ROOTS:
        for package in sorted((ROOT / root).glob("borderpost*")):
            if package.name == "borderpost_base" or package.is_dir():
                assert (package / "py.typed").is_file(), package
    assert not [root for root in SOURCE_ROOTS if (ROOT / root / "__init__.py").exists()]


def test_the_wheel_holds_only_names_of_ours(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert all(name.startswith("borderpost") for name in top), top
    modules = {
        f"{module.replace('.', '/')}{'/__init__' if path.name == '__init__.py' else ''}.py"
        for module, path in sources().items()
    }
    assert modules <= set(names), sorted(modules - set(names))
    assert {"borderpost/data/dbip-country-lite.mmdb", "borderpost/policy/packs/eu-gdpr.yaml"} <= set(names)
    assert any(name.endswith("licenses/extauthz/borderpost/data/DBIP-LICENSE") for name in names)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_image_s_build_steps_run_in_a_clean_environment(tmp_path: Path) -> None:
    """Run the RUN steps of the build stage as they stand, with the image's paths moved below a folder."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stage = text.split("\nFROM ")[1]
    steps = re.findall(r"^RUN (.+)$", stage, re.MULTILINE)
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", stage, re.MULTILINE))
    (said,) = re.findall(r"^ENV (.+)$", stage, re.MULTILINE)
    settings = {
        name: re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], value)
        for name, value in re.findall(r"(\w+)=(\S+)", said)
    }
    assert steps
    assert int(settings["SOURCE_DATE_EPOCH"]) > 0
    installs = [step for step in " && ".join(steps).split("&&") if " install " in step]
    assert installs
    assert all("--require-hashes" in step or "--no-index" in step for step in installs)
    source = tmp_path / "src"
    for path in texts() | dict.fromkeys((ROOT / "extauthz/borderpost/data").iterdir(), ""):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    def moved(line: str) -> str:
        return line.replace("/opt/", f"{tmp_path}/opt/").replace("/src/", f"{source}/")

    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment = kept | {name: moved(value) for name, value in settings.items()}
    interpreter = tmp_path / "bin/python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    environment["PATH"] = f"{interpreter.parent}:{kept['PATH']}"
    for step in steps:
        subprocess.run(["bash", "-euc", moved(step)], cwd=source, env=environment, check=True, timeout=600)
    command = tmp_path / "opt/borderpost/bin/borderpost"
    (tmp_path / "borderpost.yaml").write_text("here: {country: DE}\nregions: {eu: {country: DE}}\n")
    for words in (["--version"], ["check-config"], ["help", "--metrics"]):
        subprocess.run([command, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    installed = {path.name for path in (tmp_path / "opt/borderpost").rglob("site-packages/*")}
    assert not installed & {"hatchling", "pip", "pytest", "envoy_data_plane", "grpc_tools"}
    byte_code = list((tmp_path / "opt/borderpost").rglob("*.pyc"))
    assert byte_code
    bound_to_time = [path for path in byte_code if path.read_bytes()[4:8] != b"\x01\0\0\0"]  # PEP 552: unchecked hash
    assert not bound_to_time
    named = {one["name"] for one in json.loads((tmp_path / "opt/borderpost/sbom.cdx.json").read_text())["components"]}
    distributions = {name.split("-")[0] for name in installed if name.endswith(".dist-info")}
    assert {re.sub(r"[-_.]+", "_", name).lower() for name in named} == {name.lower() for name in distributions}


def test_the_image_is_described_without_a_fault() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
