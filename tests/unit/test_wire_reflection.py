"""Server reflection: what other implementations' messages read of it, and that nothing else gets out."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from borderpost.descriptors import descriptor_set
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.protobuf import bytes_field, varint_field
from borderpost_wire.reflection import INFO, INFO_ALPHA, ReflectionService
from borderpost_wire.service import StatusCode
from support.wire_client import status_of
from support.wire_server import serving

SERVICES = [
    "envoy.service.auth.v3.Authorization", "envoy.service.ext_proc.v3.ExternalProcessor", "grpc.health.v1.Health",
]  # fmt: skip

NUMBER, TEXT = descriptor_pb2.FieldDescriptorProto.TYPE_INT32, descriptor_pb2.FieldDescriptorProto.TYPE_STRING


def example() -> descriptor_pb2.FileDescriptorSet:
    """Return a set with everything that can be declared: nested types, enums, oneofs, extensions."""
    base = descriptor_pb2.FileDescriptorProto(name="base.proto", package="a.b", syntax="proto2")
    thing = base.message_type.add(name="Thing")
    thing.extension_range.add(start=100, end=200)
    base.message_type.add(name="Unused")
    user = descriptor_pb2.FileDescriptorProto(
        name="user.proto", package="c", syntax="proto2", dependency=["base.proto"]
    )
    outer = user.message_type.add(name="Outer")
    outer.oneof_decl.add(name="choice")
    outer.field.add(name="field", number=1, type=TEXT, label=1, oneof_index=0)
    outer.nested_type.add(name="Inner").enum_type.add(name="Deep").value.add(name="DEEP_ONE", number=0)
    outer.extension.add(name="inside", number=150, type=NUMBER, label=1, extendee=".a.b.Thing")
    user.extension.add(name="outside", number=120, type=NUMBER, label=1, extendee=".a.b.Thing")
    user.enum_type.add(name="Colour").value.add(name="RED", number=0)
    user.service.add(name="Paint").method.add(name="Mix", input_type=".c.Outer", output_type=".a.b.Thing")
    return descriptor_pb2.FileDescriptorSet(file=[user, base])


class Asked:
    """A call that keeps what it is told."""

    method, state, alive = INFO, None, True

    def __init__(self) -> None:
        self.told: list[bytes | StatusCode] = []

    def reply(self, message: bytes) -> None:
        self.told.append(message)

    def fail(self, status: StatusCode, text: str) -> None:
        self.told.append(status)

    def finish(self) -> None:
        raise AssertionError


SERVICE = ReflectionService(example().SerializeToString())


def ask(message: bytes, service: ReflectionService = SERVICE) -> bytes | StatusCode:
    call = Asked()
    service.messages([(call, message)])
    (told,) = call.told
    return told


def files(told: bytes | StatusCode, request: bytes) -> list[str]:
    """Return names of the files in an answer, whose rest is as it should be."""
    assert isinstance(told, bytes)
    prefix = bytes_field(2, request)
    assert told.startswith(prefix)
    coded = descriptor_pb2.FileDescriptorSet.FromString(told[len(prefix) :][_head(told[len(prefix) :]) :])
    known = {file.name: file for file in example().file}
    assert all(file == known[file.name] for file in coded.file)
    return [file.name for file in coded.file]


def _head(field: bytes) -> int:
    """Return how long tag and length of the first field are, which has to be number 4."""
    assert field[0] == 0x22
    return 2 if field[1] < 0x80 else 3


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        (name, ["user.proto", "base.proto"])
        for name in (
            "c.Outer", "c.Outer.field", "c.Outer.choice", "c.Outer.Inner", "c.Outer.Inner.Deep",
            "c.Outer.Inner.DEEP_ONE", "c.Outer.inside", "c.outside", "c.Colour", "c.RED", "c.Paint", "c.Paint.Mix",
        )
    ]
    + [("a.b.Thing", ["base.proto"]), ("a.b.Unused", ["base.proto"])],
)  # fmt: skip
def test_every_symbol_leads_to_its_file_and_what_that_imports(symbol: str, found: list[str]) -> None:
    request = bytes_field(4, symbol.encode())
    assert files(ask(request), request) == found


def test_files_by_name_and_by_extension() -> None:
    by_name = bytes_field(3, b"base.proto")
    assert files(ask(by_name), by_name) == ["base.proto"]
    for number in (120, 150):
        request = bytes_field(5, bytes_field(1, b"a.b.Thing") + varint_field(2, number))
        assert files(ask(request), request) == ["user.proto", "base.proto"]
    numbers = bytes_field(6, b"a.b.Thing")
    told = bytes_field(1, b"a.b.Thing") + varint_field(2, 120) + varint_field(2, 150)
    assert ask(numbers) == bytes_field(2, numbers) + bytes_field(5, told)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (bytes_field(3, b"gone.proto"), 5),
        (bytes_field(4, b"c.Gone"), 5),
        (bytes_field(4, b"c"), 5),
        (bytes_field(5, bytes_field(1, b"a.b.Thing") + varint_field(2, 121)), 5),
        (bytes_field(5, b""), 5),
        (bytes_field(6, b"a.b.Gone"), 5),
        (b"", 3),
        (varint_field(9, 1), 3),
    ],
)
def test_what_is_not_there_is_an_error_in_the_answer(request_: bytes, status: int) -> None:
    told = ask(request_)
    assert isinstance(told, bytes) and told.startswith(bytes_field(2, request_) + b"\x3a")
    assert bytes((0x08, status)) in told


def test_the_host_is_told_back() -> None:
    request = bytes_field(1, b"h") + bytes_field(7, b"")
    listed = bytes_field(6, bytes_field(1, bytes_field(1, b"c.Paint")))
    assert ask(request) == bytes_field(1, b"h") + bytes_field(2, request) + listed


@given(st.binary(max_size=60))
def test_any_bytes_get_exactly_one_answer(message: bytes) -> None:
    assert isinstance(ask(message), bytes) or ask(message) is StatusCode.INVALID_ARGUMENT


def test_sets_that_cannot_be_served() -> None:
    whole = example()
    for broken, words in (
        (descriptor_pb2.FileDescriptorSet(file=whole.file[:1]), "not in the set"),
        (descriptor_pb2.FileDescriptorSet(file=[*whole.file, whole.file[0]]), "two files are named"),
    ):
        with pytest.raises(ValueError, match=words):
            ReflectionService(broken.SerializeToString())
    whole.file.add(name="other.proto", package="c").enum_type.add(name="Colour")
    with pytest.raises(ValueError, match=r"two files declare c\.Colour"):
        ReflectionService(whole.SerializeToString())


@pytest.mark.parametrize("method", [INFO, INFO_ALPHA])
def test_a_client_can_build_the_messages_and_use_them(each_engine: str, method: str, tmp_path: Path) -> None:
    """As a tool does: list, fetch by symbol, put the files into a pool, and find the method's messages there."""
    options = ServerOptions(listen=(UnixListen(tmp_path / "r.sock"),))
    with (
        serving(options, ReflectionService(descriptor_set())) as thread,
        grpc.insecure_channel(thread.engine.addresses[0]) as channel,
    ):
        stream = channel.stream_stream(method)
        questions = [bytes_field(7, b"*"), *(bytes_field(4, name.encode()) for name in SERVICES)]
        listed, *found = list(stream(iter(questions)))
        names = b"".join(bytes_field(1, bytes_field(1, name.encode())) for name in SERVICES)
        assert listed == bytes_field(2, questions[0]) + bytes_field(6, names)
        assert status_of(lambda: list(stream(iter([b"\x0a\x05ab"]))))[0] is grpc.StatusCode.INVALID_ARGUMENT
    pool = descriptor_pool.DescriptorPool()
    for question, told in zip(questions[1:], found, strict=True):
        rest = told.removeprefix(bytes_field(2, question))
        size = 2 + (rest[1] >= 0x80) + (rest[1] >= 0x80 and rest[2] >= 0x80)
        files_told = descriptor_pb2.FileDescriptorSet.FromString(rest[size:])
        for file in reversed(files_told.file):
            _add(pool, file, {each.name: each for each in files_told.file})
    process = pool.FindMethodByName(f"{SERVICES[1]}.Process")
    assert process.client_streaming and process.server_streaming
    assert process.input_type.full_name == "borderpost.ext_proc.v1.ProcessingRequest"
    request = message_factory.GetMessageClass(process.input_type)(observability_mode=True)
    assert request.SerializeToString() == b"\x50\x01"
    assert pool.FindMethodByName(f"{SERVICES[0]}.Check").output_type.name == "CheckResponse"
    watch = pool.FindMethodByName(f"{SERVICES[2]}.Watch")
    assert watch.server_streaming and not watch.client_streaming


def _add(
    pool: descriptor_pool.DescriptorPool,
    file: descriptor_pb2.FileDescriptorProto,
    known: dict[str, descriptor_pb2.FileDescriptorProto],
) -> None:
    """Put a file into a pool behind what it imports."""
    for name in file.dependency:
        _add(pool, known[name], known)
    pool.Add(file)
