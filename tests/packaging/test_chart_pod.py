"""The pod of the plain case, made of the kernel's parts: mounts, users and no rights, with `borderpost serve` in it.

A mount and a network namespace of the test's own stand for the containers: a read-only root, the ConfigMap as
Kubernetes lays it out (files are links through `..data`), tmpfs for memory, a folder for the claim, and Envoy's view of
the socket.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from render_chart import CASES, MANIFESTS

from support.kube_schemas import documents

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "nsenter", "setpriv", "ip")
_STARTED_S = 60.0

pytestmark = [
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make mounts"),
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs util-linux and iproute2"),
]

POD = """
mount --make-rprivate /
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/borderpost /run/borderpost-state /run/envoy
mount -t tmpfs -o mode=2777,gid=1337,size=1m tmpfs /run/borderpost
mount -t tmpfs -o mode=2777,gid=1337,size=64m tmpfs /run/borderpost-state
mount --bind /run/borderpost /run/envoy && mount -o remount,ro,bind /run/envoy
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mkdir /var/lib/borderpost && mount --bind {claim} /var/lib/borderpost
mount -t overlay -o lowerdir=/etc,upperdir={upper},workdir={work} overlay /etc
mkdir -p /etc/borderpost && mount --bind {config} /etc/borderpost && mount -o remount,ro,bind /etc/borderpost
mount -o remount,ro,bind /
touch /var/lib/borderpost/.mounted
exec sleep infinity
"""
RIGHTS = (
    # A home that is closed to others may hold this Python, so reading stays allowed; writing and connecting do not.
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search", "--no-new-privs",
)  # fmt: skip
ASK = """
import socket, sys
preface = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
with socket.socket(socket.AF_UNIX) as door:
    door.settimeout(5)
    try:
        door.connect(sys.argv[1])
        door.sendall(preface)
        print("answered" if door.recv(9) else "cut off")
    except (BrokenPipeError, ConnectionResetError):
        print("cut off")
    except PermissionError:
        print("not let in")
"""
REPLACE = """
import os, sys
try:
    os.rename(sys.argv[1], sys.argv[1] + ".gone")
    print("replaced")
except OSError as error:
    print(error.strerror)
"""
READY = """
import http.client
door = http.client.HTTPConnection("127.0.0.1", 9464, timeout=3)
door.request("GET", "/readyz?verbose")
answer = door.getresponse()
print(answer.read().decode())
raise SystemExit(answer.status != 200)
"""


class Pod:
    """The namespaces, and what runs in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (pods,) = [
            one for one in documents((ROOT / CASES / "plain" / MANIFESTS).read_text()) if one["kind"] == "StatefulSet"
        ]
        (self.sidecar,) = pods["spec"]["template"]["spec"]["initContainers"]
        places = {name: folder / name for name in ("claim", "upper", "work", "config")}
        for place in places.values():
            place.mkdir()
        os.chown(places["claim"], 0, 1337)  # as fsGroup leaves it
        places["claim"].chmod(0o2775)
        self._config = places["config"]
        self.configure((ROOT / CASES / "plain/borderpost.yaml").read_text())
        ready = folder / "claim" / ".mounted"
        script = POD.format(**places)
        self.process = subprocess.Popen(["unshare", "--mount", "--net", "bash", "-euc", script])
        wait_for(lambda: ready.exists() or self.process.poll() is not None, lambda: "the mounts take too long")
        assert self.process.poll() is None, "the mounts were not made"

    def configure(self, text: str) -> None:
        """Bring a configuration as the kubelet does: a new folder, and one link renamed to it."""
        version = f"..{time.monotonic_ns()}"
        (self._config / version).mkdir()
        (self._config / version / "borderpost.yaml").write_text(text)
        link = self._config / "..data_tmp"
        link.symlink_to(version)
        link.rename(self._config / "..data")
        if not (self._config / "borderpost.yaml").is_symlink():
            (self._config / "borderpost.yaml").symlink_to("..data/borderpost.yaml")

    def words(self, user: int, group: int, *words: str) -> list[str]:
        """Return the command line that runs these words in the pod, by a user without rights."""
        inside = ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--wd=/"]
        who = [f"--reuid={user}", f"--regid={group}", f"--groups={group}"]
        return [*inside, "setpriv", *who, *RIGHTS, "--", *words]

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the sidecar as its container says."""
        context = self.sidecar["securityContext"]
        said = {one["name"]: one.get("value", "borderpost-0") for one in self.sidecar["env"]}
        variables = {name: value.replace("$(POD_NAME)", "borderpost-0") for name, value in said.items()}
        environment = {"PATH": os.environ["PATH"], "BORDERPOST_CONFIG": "/etc/borderpost/borderpost.yaml", **variables}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        words = [str(Path(sys.executable).parent / "borderpost"), *self.sidecar["args"]]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                self.words(context["runAsUser"], context["runAsGroup"], *words), env=environment, stdout=log, stderr=log
            )

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def run(self, user: int, group: int, code: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a little Python in the pod."""
        command = self.words(user, group, sys.executable, "-c", code, *words)
        return subprocess.run(command, capture_output=True, text=True, timeout=30)


def wait_for(done: Callable[[], bool], words: Callable[[], str]) -> None:
    until = time.monotonic() + _STARTED_S
    while not done():
        assert time.monotonic() < until, words()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    pod = Pod(tmp_path_factory.mktemp("pod"))
    serving = pod.serve()
    try:
        wait_for(lambda: pod.run(0, 0, READY).returncode == 0 or serving.poll() is not None, pod.log.read_text)
        assert serving.poll() is None, pod.log.read_text()
        yield pod
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0, pod.log.read_text()
    finally:
        for process in (serving, pod.process):
            process.kill()
            process.wait()


SOCKET = "/run/envoy/server/worker-0.sock"


def test_envoy_s_user_asks_through_its_read_only_view(pod: Pod) -> None:
    assert pod.run(1337, 1337, ASK, SOCKET).stdout.strip() == "answered"


@pytest.mark.parametrize(
    ("user", "group", "told"), [(1000, 1337, "cut off"), (1000, 1000, "not let in")], ids=["group", "nobody"]
)
def test_nobody_else_in_the_pod_may_ask(pod: Pod, user: int, group: int, told: str) -> None:
    assert pod.run(user, group, ASK, SOCKET).stdout.strip() == told


def test_envoy_s_user_cannot_put_another_socket_there(pod: Pod) -> None:
    assert pod.run(1337, 1337, REPLACE, "/run/envoy/server").stdout.strip() == "Read-only file system"


def test_the_log_lies_on_the_claim_under_the_pod_s_own_name(pod: Pod) -> None:
    (segment,) = (pod.folder / "claim/audit/worker-0").glob("*.jsonl*")
    first = json.loads(segment.read_text().splitlines()[0])
    assert "gateway.example.com/borderpost/borderpost-0" in json.dumps(first)
    assert segment.stat().st_uid == 65532


def test_a_changed_config_map_is_taken_while_it_runs(pod: Pod) -> None:
    text = (ROOT / CASES / "plain/borderpost.yaml").read_text()
    before = pod.log.read_text().count("snapshot taken")
    assert before
    changed = yaml.safe_load(text.replace("country: NO", "country: 'NO'"))
    changed["answers"] = {"retry_after_s": 7}
    changed["regions"]["us-east-1"]["country"] = "CA"
    pod.configure(yaml.safe_dump(changed))
    wait_for(lambda: pod.log.read_text().count("snapshot taken") > before, pod.log.read_text)
    assert pod.run(0, 0, READY).returncode == 0
    assert "BP06" not in pod.log.read_text()
