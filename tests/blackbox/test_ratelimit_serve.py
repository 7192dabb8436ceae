"""`borderpost ratelimit serve` as a process, on both engines: it answers, reloads, drains, and says how it is."""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from borderpost.cli.main import main
from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_wire.protobuf import bytes_field, pieces, texts
from borderpost_wire.reflection import INFO
from support.certificates import CertificateAuthority
from support.gateway import eventually
from support.limiter_serving import NOT_SERVING, SERVING, Limiter, asker, health

pytestmark = pytest.mark.blackbox

LIMITS = """
domain: shop
descriptors:
- key: tenant
  rate_limit: {unit: day, requests_per_unit: %d}
"""
SERVICE = "envoy.service.ratelimit.v3.RateLimitService"
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


@pytest.fixture(scope="module", params=["wire", "grpcio"])
def limiter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limiter]:
    with Limiter(tmp_path_factory.mktemp("limiter"), {"shop.yaml": LIMITS % 5}, engine=request.param) as running:
        yield running


def test_it_lets_pass_as_many_as_the_limit_says_over_both_doors(limiter: Limiter) -> None:
    with limiter.channel() as channel:
        codes = [asker(channel)(("tenant", "both")).overall_code for _ in range(4)]
    asked = {"domain": "shop", "descriptors": [{"entries": [{"key": "tenant", "value": "both"}]}]}
    statuses = [limiter.http("/json", asked)[0] for _ in range(2)]
    assert (codes, statuses) == ([OK] * 4, [200, 429])
    told = limiter.http("/metrics")[1].splitlines()
    assert 'borderpost_limiter_hits_total{rule="shop.tenant"} 6.0' in told
    assert 'borderpost_limiter_over_limit_total{rule="shop.tenant"} 1.0' in told
    assert 'borderpost_limiter_calls_total{what="begun"} 4.0' in told


def test_it_is_healthy_by_each_name_that_it_may_be_asked_for(limiter: Limiter) -> None:
    with limiter.channel() as channel:
        for name in ("", SERVICE, "ratelimit"):
            assert health(channel, name) == SERVING, name
        with pytest.raises(grpc.RpcError) as unknown:
            health(channel, "another")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_shows_envoys_service_with_its_messages(limiter: Limiter) -> None:
    with limiter.channel() as channel:
        ask = channel.stream_stream(INFO)
        (listed,) = ask(iter([bytes_field(7, b"")]), timeout=10)
        (described,) = ask(iter([bytes_field(4, SERVICE.encode())]), timeout=10)
    names = [name for service in pieces(one_of(listed, 6), 1) for name in texts(service, 1)]
    assert names == [SERVICE, "grpc.health.v1.Health"]
    files = [FileDescriptorProto.FromString(file) for file in pieces(one_of(described, 4), 1)]
    method = files[0].service[0].method[0]
    assert (method.name, method.input_type) == ("ShouldRateLimit", ".borderpost.ratelimit.v1.RateLimitRequest")
    assert "RateLimitRequest" in {message.name for file in files for message in file.message_type}


def one_of(message: bytes, field: int) -> bytes:
    (value,) = pieces(message, field)
    return value


def test_its_socket_is_its_groups(limiter: Limiter) -> None:
    mode = limiter.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert stat.S_IMODE(limiter.socket.parent.stat().st_mode) & 0o007 == 0


def test_a_signal_has_changed_limits_taken_and_counters_stay(tmp_path: Path) -> None:
    with Limiter(tmp_path, {"shop.yaml": LIMITS % 3}, watch=False) as limiter, limiter.channel() as channel:
        ask = asker(channel)
        assert [ask(("tenant", "a")).overall_code for _ in range(4)] == [OK] * 3 + [OVER]
        limiter.write("domain: shop\ndescriptors:\n- key: tenant\n  rate_limit: {unit: dya, requests_per_unit: 9}\n")
        limiter.process.signal(signal.SIGHUP)
        limiter.until_logged("limits not taken: the last good one stays")
        refusal = next(line for line in limiter.lines() if line["level"] == "error")
        assert (refusal["code"], refusal["place"]["line"]) == ("BP1606", 4)
        assert ask(("tenant", "a")).overall_code == OVER
        assert "the last good one is in force: BP1606" in limiter.http("/readyz")[1]
        assert 'reload_total{result="refused",what="limits"} 1.0' in limiter.http("/metrics")[1]
        limiter.write(LIMITS % 6)
        limiter.process.signal(signal.SIGHUP)
        limiter.until_logged("limits taken", times=2)
        assert [ask(("tenant", "a")).overall_code for _ in range(3)] == [OK, OVER, OVER]
        assert limiter.http("/rlconfig")[1].startswith("shop.tenant: unit=DAY requests_per_unit=6,")


@pytest.mark.parametrize("engine", ["wire", pytest.param("grpcio", marks=pytest.mark.full)])
def test_told_to_stop_it_says_so_and_answers_on_until_envoy_has_turned_away(tmp_path: Path, engine: str) -> None:
    server = {"drain_s": 0.6}
    with Limiter(tmp_path, {"shop.yaml": LIMITS % 1_000_000}, engine=engine, server=server) as limiter:
        with limiter.channel() as watching, limiter.channel() as asking:
            watch = watching.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
            assert next(watch) == SERVING
            ask, answered = asker(asking), 0
            limiter.process.signal(signal.SIGTERM)
            assert next(watch) == NOT_SERVING
            assert limiter.http("/healthcheck") == (500, "")
            assert limiter.http("/readyz")[0] == 503
            for _ in range(20):
                assert ask(("tenant", "late")).overall_code == OK
                answered += 1
        assert answered == 20
        assert limiter.process.stop(grace_s=10) == 0
        assert not limiter.socket.exists()


@pytest.mark.full
def test_under_load_no_question_is_lost_by_reloads_nor_at_its_end(tmp_path: Path) -> None:
    with Limiter(tmp_path, {"shop.yaml": LIMITS % 1_000_000}) as limiter, limiter.channel() as channel:
        ask, codes, ended = asker(channel), list[str](), threading.Event()

        def load() -> None:
            while not ended.is_set():
                try:
                    codes.append(RateLimitResponse.Code.Name(ask(("tenant", "load")).overall_code))
                except grpc.RpcError as error:
                    codes.append(error.code().name)
                    return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        limiter.process.wait_until(lambda: len(codes) > 200, timeout_s=20, what="under load")
        for number in range(1, 6):
            limiter.write(LIMITS % (1_000_000 + number))
            limiter.until_logged("limits taken", times=number + 1)
        assert set(codes) == {"OK"}
        assert limiter.process.stop(grace_s=10) == 0
        ended.set()
        for thread in threads:
            thread.join(20)
    assert set(codes) <= {"OK", "UNAVAILABLE"}
    assert codes.count("UNAVAILABLE") <= len(threads)


def test_what_it_cannot_start_with_is_said_with_place_and_mend(
    limiter: Limiter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> str:
        assert main(["ratelimit", "serve", *words]) == 2
        return capsys.readouterr().err

    (tmp_path / "bad.yaml").write_text(LIMITS.replace("unit:", "unitt:") % 1)
    mistake = told("--limits", str(tmp_path))
    assert "bad.yaml:5" in mistake
    assert "did you mean `unit`?" in mistake
    limits = str(limiter.limits)
    assert "BP0502" in told("--limits", limits, "--listen", limiter.address)
    taken = f"limiter.admin.port={limiter.admin_port}"
    assert "limiter.admin.port" in told("--limits", limits, "--listen", "127.0.0.1:0", "--set", taken)
    assert "BP0004" in told("--limits", limits, "--listen", "nowhere")


@pytest.mark.full
@pytest.mark.parametrize("engine", ["wire", "grpcio"])
def test_on_the_network_callers_are_known_by_their_certificates(tmp_path: Path, engine: str) -> None:
    authority = CertificateAuthority(tmp_path, "doors")
    certificate, key = authority.issue("limiter", dns=["localhost"])
    tls = {
        "certificate": str(certificate), "key": str(key), "client_ca": str(authority.path),
        "client_sans": ["spiffe://cluster.local/ns/ai/sa/gateway"],
    }  # fmt: skip
    gateway = authority.issue("gateway", uris=["spiffe://cluster.local/ns/ai/sa/gateway"])
    other = authority.issue("other", uris=["spiffe://cluster.local/ns/ai/sa/other"])

    def credentials(*pair: Path) -> grpc.ChannelCredentials:
        shown = (pair[1].read_bytes(), pair[0].read_bytes()) if pair else (None, None)
        return grpc.ssl_channel_credentials(authority.path.read_bytes(), *shown)

    limits = {"shop.yaml": LIMITS % 5}
    with Limiter(tmp_path, limits, engine=engine, unix=False, server={"tls": tls}) as limiter:
        with limiter.channel(credentials(*gateway)) as channel:
            assert asker(channel)(("tenant", "a")).overall_code == OK
        for pair, status in (((), grpc.StatusCode.UNAVAILABLE), (other, grpc.StatusCode.PERMISSION_DENIED)):
            with limiter.channel(credentials(*pair)) as channel, pytest.raises(grpc.RpcError) as refused:
                asker(channel)(("tenant", "a"))
            assert refused.value.code() is status
        fresh, fresh_key = authority.issue("renewed", dns=["localhost"])
        fresh_key.replace(key)
        fresh.replace(certificate)
        limiter.until_logged("certificates renewed")
        with limiter.channel(credentials(*gateway)) as channel:
            assert asker(channel)(("tenant", "a")).overall_code == OK
        assert "certificate_expiry_timestamp_seconds" in limiter.http("/metrics")[1]


@pytest.mark.full
@pytest.mark.parametrize("engine", ["wire", "grpcio"])
def test_an_authority_that_is_no_longer_trusted_cuts_its_callers_off(tmp_path: Path, engine: str) -> None:
    old, new = CertificateAuthority(tmp_path, "old"), CertificateAuthority(tmp_path, "new")
    certificate, key = old.issue("limiter", dns=["localhost"])
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(old.path.read_bytes())

    def credentials(authority: CertificateAuthority) -> grpc.ChannelCredentials:
        shown, shown_key = authority.issue("caller", uris=["spiffe://cluster.local/ns/ai/sa/gateway"])
        return grpc.ssl_channel_credentials(old.path.read_bytes(), shown_key.read_bytes(), shown.read_bytes())

    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(trusted)}
    limits = {"shop.yaml": LIMITS % 5}
    with Limiter(tmp_path, limits, engine=engine, unix=False, server={"tls": tls}) as limiter:
        with limiter.channel(credentials(old)) as before, limiter.channel(credentials(new)) as after:
            assert asker(before)(("tenant", "a")).overall_code == OK
            (tmp_path / ".trusted").write_bytes(new.path.read_bytes())
            (tmp_path / ".trusted").replace(trusted)
            eventually(lambda: refused(before), "cut off")
            eventually(lambda: not refused(after), "let in")
        told = limiter.http("/metrics")[1]
        assert 'borderpost_limiter_hits_total{rule="shop.tenant"} ' in told


def refused(channel: grpc.Channel) -> bool:
    """Return whether a caller gets no answer."""
    try:
        asker(channel)(("tenant", "b"))
    except grpc.RpcError:
        return True
    return False
