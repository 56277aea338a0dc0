"""Addresses of the world outside only: those inside the host or its networks are refused.

Who connects has a name's addresses judged here and connects to one of those very addresses. So a
name that answers differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from studio.errors import BadInput

MAX_URL_CHARS = 500

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host. Raises `OSError` where it has none."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Inside(BadInput):
    """An address that lies inside the host or its networks."""


def resolve(host: str, port: int) -> list[str]:
    """What the system says, each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address is reached over the internet, by whatever way it is written."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def checked_url(
    url: object, allowed_hosts: Collection[str] = (), *, find: Resolve = resolve
) -> str:
    """The address of a receiver, if messages may be sent there.

    `allowed_hosts` are exempt: an admin has said that they may lie inside, and be without TLS.

    Raises:
        BadInput: it is no address, or one inside.
    """
    text = str(url).strip()
    if len(text) > MAX_URL_CHARS or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise BadInput(f"The address must be plain text of at most {MAX_URL_CHARS} characters.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadInput(f"This is no address ({error}): write one as https://host/path.") from error
    if parts.scheme not in ("https", "http") or not host or parts.fragment:
        raise BadInput("This is no address: write one as https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise BadInput("Leave name and password out of the address: messages are signed.")
    if host in allowed_hosts:
        return text
    if parts.scheme != "https":
        raise BadInput("The address must begin with https://: messages say what is made here.")
    public_addresses(host, port or 443, allowed_hosts, find=find)
    return text


def public_addresses(
    host: str, port: int, allowed_hosts: Collection[str], *, find: Resolve = resolve
) -> list[str]:
    """The addresses of `host`, if it has any and all of them may be connected to.

    Raises:
        Inside: one of them lies inside.
        BadInput: it has none.
    """
    try:
        addresses = find(host, port)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise BadInput(f"The host {host[:80]} is not known: check how it is spelt.")
    if host not in allowed_hosts and not all(is_public(address) for address in addresses):
        raise Inside(
            f"The host {host[:80]} lies inside this machine or its networks: messages go to public "
            "addresses only, unless an admin allows the host (VITRINE_WEBHOOK_HOSTS)."
        )
    return addresses
