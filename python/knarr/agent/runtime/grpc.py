"""gRPC calls made from protobuf descriptors, so that no stub class needs to be generated or committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from . import RuntimeCallError

MESSAGE_BYTES_MAX = 16 << 20
"""Largest answer taken: a list of a few thousand containers with their annotations."""


class Service:
    """One service over one channel; `await service.call("Version", request)`."""

    def __init__(self, channel: grpc.aio.Channel, descriptor: ServiceDescriptor) -> None:
        self._channel = channel
        self._descriptor = descriptor
        self._unary: dict[str, Any] = {}

    async def call(self, method: str, request: Any, timeout_seconds: float | None) -> Any:
        """The answer's message. Raises RuntimeCallError with the server's words."""
        callable_ = self._unary.get(method)
        if callable_ is None:
            path, serialize, parse = self._method(method)
            callable_ = self._channel.unary_unary(path, request_serializer=serialize, response_deserializer=parse)
            self._unary[method] = callable_
        try:
            return await callable_(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None

    async def stream(self, method: str, request: Any) -> AsyncIterator[Any]:
        """Messages until the server ends the stream. Raises RuntimeCallError."""
        path, serialize, parse = self._method(method)
        call = self._channel.unary_stream(path, request_serializer=serialize, response_deserializer=parse)(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None
        finally:
            call.cancel()

    def _method(self, name: str) -> tuple[str, Any, Any]:
        method = self._descriptor.methods_by_name[name]
        answer: Any = GetMessageClass(method.output_type)
        return f"/{self._descriptor.full_name}/{name}", lambda m: m.SerializeToString(), answer.FromString


def translate(error: grpc.aio.AioRpcError) -> RuntimeCallError:
    """Kubernetes prints gRPC errors as `rpc error: code = C desc = D`, or D alone; users know both forms."""
    code = error.code()
    name = "".join(part.capitalize() for part in code.name.split("_"))
    return RuntimeCallError(
        f"rpc error: code = {name} desc = {error.details()}",
        details=error.details() or "",
        not_found=code is grpc.StatusCode.NOT_FOUND,
        timed_out=code is grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def unix_channel(endpoint: str) -> grpc.aio.Channel:
    """endpoint: `unix:///path` or a path."""
    target = endpoint if "://" in endpoint else f"unix://{endpoint}"
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.enable_http_proxy", 0),
        # The socket of a restarted runtime is tried again soon: gRPC's own back-off grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
        # containerd's Go server validates :authority; a socket's path is not one.
        ("grpc.default_authority", "localhost"),
    ]
    return grpc.aio.insecure_channel(target, options=options)
