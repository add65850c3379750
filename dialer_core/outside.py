"""Asking an address outside: where a URL's name leads is looked up once, judged, and that very address is asked.

It owns that no name, whoever answers for it, makes us ask a machine of an inner network (SSRF), and that no redirect is followed. What is
asked, and what an answer means, is the asker's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import httpx2

from dialer_core.errors import DialerError

TIMEOUT_S = 10.0
_REACHABLE = ipaddress.ip_network("2000::/3")
"""All that is given out of IPv6 for machines that anybody may reach."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""An IPv4 address told to machines that only speak IPv6: it is as public as the one that it stands for."""


class ForbiddenAddressError(DialerError):
    """A name leads to an address that is not to be asked."""


async def post(
    client: httpx2.AsyncClient, url: str, body: bytes, headers: Mapping[str, str], *, private: bool = False
) -> int:
    """Post to a URL and return the status of the answer; what it says is not read.

    Parameters
    ----------
    client
        Made by `make_client`.
    url, body, headers
        What is sent, and where to.
    private
        It may be an address of this machine or of a private network.

    Raises
    ------
    ForbiddenAddressError
        The URL's name leads to an address that is none of the public ones, and `private` is not set; or it is no name.
    httpx2.TransportError, OSError
        Nobody is there, or the answer did not come.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = await _address(host, port, private=private)
    inner = f"[{address}]" if ":" in address else address
    target = urlunsplit(parts._replace(netloc=f"{inner}:{port}"))
    shown = parts.netloc
    request = client.build_request(
        "POST", target, content=body, headers={**headers, "Host": shown}, extensions={"sni_hostname": host}
    )
    answer = await client.send(request, stream=True)
    try:
        return answer.status_code
    finally:
        await answer.aclose()


def make_client() -> httpx2.AsyncClient:
    """Return a client that follows nobody elsewhere and asks no proxy."""
    return httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)


async def _address(host: str, port: int, *, private: bool) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a part of it is empty, or longer than 63 letters
        raise ForbiddenAddressError(f"{host[:80]!r} is no name that a machine can have") from None
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    if not private and (bad := next((one for one in addresses if not _public(one)), None)):
        raise ForbiddenAddressError(
            f"{host} leads to {bad}, which is not a public address; private = true allows it where it is yours"
        )
    return str(addresses[0])


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    if address in _NAT64:
        return _public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inner = address.ipv4_mapped or address.sixtofour
    return _public(inner) if inner is not None else address in _REACHABLE
