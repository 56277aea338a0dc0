"""Webhooks: signed, sent again until they are taken, and never to an address inside."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpcore
import pytest

from studio.application import Studio
from studio.batch import BatchStatus
from studio.brief import Brief
from studio.errors import BadInput, Conflict, NotFound
from studio.exchange import Exchange
from studio.hook import DeliveryStatus, HookEvent, is_signed, signature
from studio.hooks import MAX_HOOKS, Hooks
from studio.public_network import checked_url, is_public, public_addresses
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, OpenStudio

Message = tuple[dict[str, str], bytes]


class Receiver:
    """A server of the shop's: notes what it is sent; `statuses` are answered in turn, then 204."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(
                    ({name.lower(): value for name, value in self.headers.items()}, body)
                )
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("location", "http://127.0.0.1/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *values: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, number: int) -> list[Message]:
        until(lambda: len(self.got) >= number)
        return self.got


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def studio(open_studio: OpenStudio) -> Studio:
    """An admin has allowed this machine as a receiver, and messages are sent again at once."""
    studio = open_studio(webhook_hosts=("127.0.0.1",))
    studio.hooks._sender._retry_seconds = (0.0, 0.0)
    studio.wait_until_ready(WAIT_SECONDS)
    return studio


def test_a_job_that_is_done_is_told_in_a_signed_message(studio: Studio, receiver: Receiver) -> None:
    hook = studio.hooks.add("local", receiver.url, ["job.finished"])
    job = studio.submit(Brief(subject="mug", seed=3))
    ((headers, body),) = receiver.wait(1)
    message = json.loads(body)
    assert message["type"] == "job.finished"
    assert message["data"]["job"]["id"] == job.id
    assert message["data"]["job"]["status"] == "succeeded"
    assert [each["seed"] for each in message["data"]["job"]["pictures"]] == [3]
    moment = int(headers["webhook-timestamp"])
    assert abs(moment - time.time()) < 60
    given = headers["webhook-signature"]
    assert is_signed(hook.secret, headers["webhook-id"], moment, body, given)
    assert not is_signed(hook.secret, headers["webhook-id"], moment + 1, body, given)
    assert not is_signed(hook.secret, headers["webhook-id"], moment, body + b" ", given)
    until(lambda: studio.hooks.deliveries(hook.id, "local")[0].status is DeliveryStatus.DELIVERED)


class Dripping:
    """A receiver that takes everything and answers with a byte now and then, for ever."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.num_calls = 0
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.num_calls += 1
            self._threads.append(threading.Thread(target=self._drip, args=(connection,)))
            self._threads[-1].start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not self._closed.wait(0.05):
                connection.sendall(b"x")

    def close(self) -> None:
        self._closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


def test_receivers_that_answer_for_ever_hold_up_nobody_else_and_are_hung_up_on(
    open_studio: OpenStudio, receiver: Receiver
) -> None:
    studio = open_studio(webhook_hosts=("127.0.0.1",))
    studio.hooks.close()
    slow = Dripping()
    hooks = Hooks(studio._store, studio.config, retry_seconds=(), exchange_seconds=2.0)

    def outcomes() -> set[DeliveryStatus]:
        return {hooks.deliveries(each.id, "eve")[0].status for each in endless}

    try:
        endless = [hooks.add("eve", slow.url, ["job.finished"]) for _ in range(10)]
        for hook in endless:
            hooks.test(hook.id, "eve")
        hooks.begin()
        until(lambda: slow.num_calls)
        good = hooks.add("ada", receiver.url, ["job.finished"])
        hooks.test(good.id, "ada")
        receiver.wait(1)
        assert DeliveryStatus.WAITING in outcomes(), "they were not waited for"
        until(lambda: DeliveryStatus.GIVEN_UP in outcomes())
    finally:
        slow.close()
        hooks.close()


def test_an_answer_without_end_is_hung_up_on_before_its_time() -> None:
    class Flood(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    self.wfile.write(b"x: " + b"x" * 4000 + b"\r\n")

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flood)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        exchange = Exchange(("127.0.0.1",), seconds=WAIT_SECONDS)
        with pytest.raises(httpcore.RemoteProtocolError):
            exchange.post(f"http://127.0.0.1:{server.server_address[1]}/", {}, b"{}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_signature_is_the_one_of_the_published_example() -> None:
    """The example of standardwebhooks.com's reference libraries."""
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_batch_is_told_once_and_only_what_was_asked_for_is_told(
    studio: Studio, receiver: Receiver
) -> None:
    studio.hooks.add("local", receiver.url, ["batch.finished", "job.failed"])
    studio.hooks.add("ada", receiver.url, ["job.finished"])
    batch_id = studio.batches.check("a.csv", table(*good_lines(3))).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id, BatchStatus.FINISHED)
    ((_, body),) = receiver.wait(1)
    message = json.loads(body)
    assert message["type"] == "batch.finished"
    assert message["data"]["batch"]["rows"] == {"succeeded": 3}
    assert len(receiver.got) == 1


def test_a_message_that_is_not_taken_is_sent_again_and_at_last_given_up(
    studio: Studio, receiver: Receiver
) -> None:
    hook = studio.hooks.add("local", receiver.url, ["job.finished"])
    receiver.statuses = [500, 301]
    studio.submit(Brief(subject="mug"))
    got = receiver.wait(3)
    assert len({headers["webhook-id"] for headers, _ in got}) == 1, "the same message"
    until(lambda: studio.hooks.deliveries(hook.id, "local")[0].status is DeliveryStatus.DELIVERED)
    receiver.statuses = [500, 500, 500, 500]
    studio.submit(Brief(subject="mug"))
    until(lambda: studio.hooks.deliveries(hook.id, "local")[0].status is DeliveryStatus.GIVEN_UP)
    given_up = studio.hooks.deliveries(hook.id, "local")[0]
    assert (given_up.attempts, given_up.error) == (3, "It answered 500.")
    assert len(receiver.got) == 6


def test_a_test_message_is_sent_and_a_deleted_webhook_is_not_told(
    studio: Studio, receiver: Receiver
) -> None:
    hook = studio.hooks.add("local", receiver.url, list(HookEvent))
    studio.hooks.test(hook.id, "local")
    ((_, body),) = receiver.wait(1)
    assert json.loads(body)["type"] == "test"
    studio.hooks.delete(hook.id, "local")
    studio.wait(studio.submit(Brief(subject="mug")).id, WAIT_SECONDS)
    with pytest.raises(NotFound):
        studio.hooks.deliveries(hook.id, "local")
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0"),
        *("fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("", "nonsense"),
    ],
)
def test_an_address_inside_is_never_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(address)


def _inside(host: str, port: int) -> list[str]:
    return ["93.184.216.34", "127.0.0.1"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/x", "lies inside"),
        ("https://[::1]/x", "lies inside"),
        ("https://2130706433/x", "lies inside"),
        ("https://0x7f.1/x", "lies inside"),
        ("https://localhost/x", "lies inside"),
        ("http://93.184.216.34/x", "https"),
        ("ftp://93.184.216.34/x", "no address"),
        ("https://user:pw@93.184.216.34/x", "name and password"),
        ("https://93.184.216.34:99999/x", "no address"),
        ("https:///x", "no address"),
        ("https://exa mple/x", "plain text"),
        ("https://" + "x" * 600, "plain text"),
        ("", "plain text"),
    ],
)
def test_a_webhook_to_an_address_inside_is_refused_with_a_sentence(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        checked_url(url)


def test_a_host_with_one_address_inside_is_refused() -> None:
    with pytest.raises(BadInput, match="lies inside"):
        public_addresses("two-faced.example", 443, (), find=_inside)


def test_a_host_that_is_not_known_is_refused() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(BadInput, match="not known"):
        public_addresses("nowhere.example", 443, (), find=nowhere)


def test_a_name_that_turns_inward_after_it_was_accepted_is_not_connected_to(
    open_studio: OpenStudio, receiver: Receiver
) -> None:
    studio = open_studio()
    answers = [["93.184.216.34"]]

    def find(host: str, port: int) -> list[str]:
        return answers.pop() if answers else ["127.0.0.1"]

    hooks = Hooks(studio._store, studio.config, find=find, retry_seconds=())
    hook = hooks.add(
        "local", receiver.url.replace("http://127.0.0.1", "https://shop.example"), ["job.finished"]
    )
    studio.hooks.close()
    hooks.begin()
    try:
        hooks.test(hook.id, "local")
        until(lambda: hooks.deliveries(hook.id, "local")[0].status is DeliveryStatus.GIVEN_UP)
    finally:
        hooks.close()
    assert "lies inside" in (hooks.deliveries(hook.id, "local")[0].error or "")
    assert receiver.got == []


def test_what_is_not_known_or_too_much_is_refused(studio: Studio, receiver: Receiver) -> None:
    with pytest.raises(BadInput, match="no event 'job"):
        studio.hooks.add("local", receiver.url, ["job.begun"])
    with pytest.raises(BadInput, match="Choose what"):
        studio.hooks.add("local", receiver.url, [])
    for _ in range(MAX_HOOKS):
        studio.hooks.add("local", receiver.url, ["job.failed"])
    with pytest.raises(Conflict):
        studio.hooks.add("local", receiver.url, ["job.failed"])
    with pytest.raises(NotFound):
        studio.hooks.hook(studio.hooks.page("local")[0].id, "ada")
