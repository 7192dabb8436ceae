"""gRPC server reflection, versions v1 and v1alpha (their messages are the same), as a service on our own interface.

What it tells is static: a `FileDescriptorSet` that whoever makes the server hands in. Nothing is looked up in
generated code, so a service may be shown under a name that its messages' package does not have.

Source: grpc/doc/server-reflection.md, grpc/reflection/v1/reflection.proto, google/protobuf/descriptor.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from borderpost_wire.protobuf import VARINT, bytes_field, fields, pieces, texts, varint_field
from borderpost_wire.service import Call, MethodKind, StatusCode

INFO = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
INFO_ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

# Fields of ServerReflectionRequest.
_FILE_BY_NAME, _FILE_OF_SYMBOL, _FILE_OF_EXTENSION, _EXTENSION_NUMBERS, _LIST_SERVICES = 3, 4, 5, 6, 7
# Fields of ServerReflectionResponse.
_VALID_HOST, _ORIGINAL_REQUEST, _FILES, _NUMBERS, _SERVICES, _ERROR = 1, 2, 4, 5, 6, 7


class ReflectionService:
    """Answers from a descriptor set: serialised `google.protobuf.FileDescriptorSet`, dependencies included.

    Raises ValueError for a set that is malformed, lacks a file that another imports, or says something twice.
    """

    def __init__(self, descriptor_set: bytes) -> None:
        self._files: dict[str, _File] = {}
        self._by_symbol: dict[str, _File] = {}
        self._by_extension: dict[str, dict[int, _File]] = {}
        services: list[str] = []
        for file in map(_read_file, pieces(descriptor_set, 1)):
            if file.name in self._files:
                raise ValueError(f"two files are named {file.name}")
            self._files[file.name] = file
            services += file.services
            for symbol in file.symbols:
                if self._by_symbol.setdefault(symbol, file) is not file:
                    raise ValueError(f"two files declare {symbol}")
            for extended, number in file.extensions:
                self._by_extension.setdefault(extended, {})[number] = file
        self._answers = {name: _files_answer(self._with_imports(file)) for name, file in self._files.items()}
        listed = b"".join(bytes_field(1, bytes_field(1, name.encode())) for name in sorted(services))
        self._services_answer = bytes_field(_SERVICES, listed)

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the one method of each version."""
        return {INFO: MethodKind.STREAM, INFO_ALPHA: MethodKind.STREAM}

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Answer questions, in order."""
        for call, message in batch:
            try:
                told = self._told(message)
            except ValueError:
                call.fail(StatusCode.INVALID_ARGUMENT, "not a ServerReflectionRequest")
                continue
            host = b"".join(bytes_field(_VALID_HOST, value) for value in pieces(message, 1)[-1:])
            call.reply(host + bytes_field(_ORIGINAL_REQUEST, message) + told)

    def gone(self, call: Call) -> None:
        """Nothing is kept of a call."""

    def _told(self, message: bytes) -> bytes:
        """Return the answer's part that depends on the question. Raises ValueError."""
        asked, value = _question(message)
        if asked == _LIST_SERVICES:
            return self._services_answer
        if asked == _FILE_BY_NAME:
            return self._file_told(self._files.get(value.decode("utf-8")))
        if asked == _FILE_OF_SYMBOL:
            return self._file_told(self._by_symbol.get(value.decode("utf-8")))
        if asked == _FILE_OF_EXTENSION:
            extended = "".join(texts(value, 1)[-1:])
            numbers = [each for number, kind, each in fields(value) if number == 2 and kind == VARINT]
            return self._file_told(self._by_extension.get(extended, {}).get(int(numbers[-1]) if numbers else 0))
        if asked == _EXTENSION_NUMBERS:
            extended = value.decode("utf-8")
            if extended not in self._by_symbol:
                return _error(StatusCode.NOT_FOUND, "no such type")
            numbers_of = sorted(self._by_extension.get(extended, {}))
            told = bytes_field(1, value) + b"".join(varint_field(2, number) for number in numbers_of)
            return bytes_field(_NUMBERS, told)
        return _error(StatusCode.INVALID_ARGUMENT, "no question")

    def _file_told(self, file: _File | None) -> bytes:
        return _error(StatusCode.NOT_FOUND, "not found") if file is None else self._answers[file.name]

    def _with_imports(self, file: _File) -> list[_File]:
        """Return a file and all that it imports, itself first, each once."""
        found = {file.name: file}
        waiting = [file]
        while waiting:
            for name in waiting.pop().imports:
                if name not in self._files:
                    raise ValueError(f"{name} is imported but not in the set")
                if name not in found:
                    found[name] = self._files[name]
                    waiting.append(self._files[name])
        return list(found.values())


@dataclass(frozen=True, slots=True)
class _File:
    """A FileDescriptorProto, and what it declares by full names."""

    name: str
    coded: bytes
    imports: tuple[str, ...]
    services: tuple[str, ...]
    symbols: frozenset[str]
    """Messages, fields, oneofs, enums and their values, extensions, services, methods."""
    extensions: frozenset[tuple[str, int]]
    """Full name of the extended message, and number."""


def _read_file(coded: bytes) -> _File:
    package = "".join(texts(coded, 2)[-1:])
    services = tuple(_named(package, each) for each in pieces(coded, 6))
    symbols = {
        *services,
        *(
            _named(service, method)
            for service, each in zip(services, pieces(coded, 6), strict=True)
            for method in pieces(each, 2)
        ),
    }
    extensions = set(_extensions(coded, 7))
    symbols.update(_named(package, each) for each in pieces(coded, 7))
    for enum in pieces(coded, 5):
        symbols.update(_enum_symbols(package, enum))
    for message in pieces(coded, 4):
        symbols.update(_message_symbols(package, message))
        extensions.update(_message_extensions(message))
    name = "".join(texts(coded, 1)[-1:])
    return _File(name, coded, tuple(texts(coded, 3)), services, frozenset(symbols), frozenset(extensions))


def _message_symbols(scope: str, message: bytes) -> Iterator[str]:
    """Give what a DescriptorProto declares: itself, fields, oneofs, extensions, nested types."""
    name = _named(scope, message)
    yield name
    for member in (*pieces(message, 2), *pieces(message, 6), *pieces(message, 8)):
        yield _named(name, member)
    for enum in pieces(message, 4):
        yield from _enum_symbols(name, enum)
    for nested in pieces(message, 3):
        yield from _message_symbols(name, nested)


def _enum_symbols(scope: str, enum: bytes) -> Iterator[str]:
    """Give what an EnumDescriptorProto declares; its values are siblings of the enum."""
    yield _named(scope, enum)
    for value in pieces(enum, 2):
        yield _named(scope, value)


def _message_extensions(message: bytes) -> Iterator[tuple[str, int]]:
    yield from _extensions(message, 6)
    for nested in pieces(message, 3):
        yield from _message_extensions(nested)


def _extensions(scope: bytes, field: int) -> Iterator[tuple[str, int]]:
    """Give extended type and number of FieldDescriptorProtos that are extensions."""
    for extension in pieces(scope, field):
        numbers = [int(value) for number, kind, value in fields(extension) if number == 3 and kind == VARINT]
        yield "".join(texts(extension, 2)[-1:]).removeprefix("."), numbers[-1] if numbers else 0


def _named(scope: str, declared: bytes) -> str:
    """Return the full name of any descriptor: all have their name in field 1."""
    name = "".join(texts(declared, 1)[-1:])
    return f"{scope}.{name}" if scope else name


def _question(message: bytes) -> tuple[int, bytes]:
    """Return which of the oneof's fields a request has, the last if several, and its value; 0 for none."""
    asked, question = 0, b""
    for number, _, value in fields(message):
        if _FILE_BY_NAME <= number <= _LIST_SERVICES and isinstance(value, bytes):
            asked, question = number, value
    return asked, question


def _files_answer(files: Sequence[_File]) -> bytes:
    return bytes_field(_FILES, b"".join(bytes_field(1, file.coded) for file in files))


def _error(status: StatusCode, text: str) -> bytes:
    return bytes_field(_ERROR, varint_field(1, status) + bytes_field(2, text.encode()))
