"""`Exchange`: one POST to the world outside, over in time whatever the other side does.

A timeout for each read would let a receiver that sends a byte now and then hold the line for ever.
Here all of it, from the first packet to the last, has one deadline, and what comes back is bounded.
The connection is used once; redirects are not followed; a body that is answered is not read.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import httpcore

from studio.public_network import Resolve, public_addresses, resolve

MAX_ANSWER_BYTES = 64 * 2**10

_PIECE_BYTES = 16 * 2**10

NetworkError = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
"""What went wrong on the way."""


class Exchange:
    """To be used once, by `post`; it has `seconds` from when it is made."""

    def __init__(
        self,
        allowed_hosts: Collection[str] = (),
        *,
        seconds: float,
        find: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_hosts = allowed_hosts
        self._find = find
        self._tls = tls
        self._deadline = time.monotonic() + seconds
        self._num_bytes = 0

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status that `url` answers with.

        Raises:
            Inside: the host lies inside.
            httpcore's errors of `NetworkError`: it could not be reached, or not in time.
        """
        with (
            httpcore.ConnectionPool(
                ssl_context=self._tls,
                network_backend=_Backend(self),
                max_connections=1,
                max_keepalive_connections=0,
            ) as pool,
            pool.stream(
                "POST", url, headers=[*headers.items(), ("connection", "close")], content=body
            ) as answer,
        ):
            return int(answer.status)

    def connect(self, host: str, port: int, **options: Any) -> httpcore.NetworkStream:
        """To one of the host's addresses, judged a moment before: see `public_network`."""
        error: Exception = httpcore.ConnectError(f"{host} has no address")
        inner = httpcore.SyncBackend()
        addresses = public_addresses(host, port, self._allowed_hosts, find=self._find)
        for number, address in enumerate(addresses):
            try:
                # A dead address must leave time for those after it.
                left = self.seconds_left(httpcore.ConnectTimeout) / (len(addresses) - number)
                return _Stream(inner.connect_tcp(address, port, left, **options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as met:
                error = met
        raise error

    def seconds_left(self, late: type[Exception]) -> float:
        """Until the deadline; past it `late` is raised."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise late("it takes too long")
        return left

    def count(self, num_bytes: int) -> None:
        """Note what came in; more than an answer may have is the other side's fault."""
        self._num_bytes += num_bytes
        if self._num_bytes > MAX_ANSWER_BYTES:
            raise httpcore.RemoteProtocolError("it answers with more than is taken")


class _Backend(httpcore.NetworkBackend):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return self._exchange.connect(
            host, port, local_address=local_address, socket_options=socket_options
        )


class _Stream(httpcore.NetworkStream):
    """A connection whose every act must be done by the exchange's deadline."""

    def __init__(self, inner: httpcore.NetworkStream, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content = self._inner.read(max_bytes, self._exchange.seconds_left(httpcore.ReadTimeout))
        self._exchange.count(len(content))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PIECE_BYTES):
            left = self._exchange.seconds_left(httpcore.WriteTimeout)
            self._inner.write(buffer[at : at + _PIECE_BYTES], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._exchange.seconds_left(httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._exchange)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
