"""Whose address a request comes from: the peer's, or what proxies that we trust say of theirs.

Anyone can write an `X-Forwarded-For`. An entry is believed only when the address that added it is one of
TRUSTED_PROXIES, read from the right: the first address that is not one of ours is the client.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import unquote

FORWARDED_HEADER: Final = "X-Forwarded-For"
_MAX_HOPS: Final = 16
_IPV6_SITE_BITS: Final = 64
_UNKNOWN: Final = "unknown"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, and the `X-Forwarded-For` values of a request, first to last."""

    host: str = ""
    forwarded: Sequence[str] = ()

    @classmethod
    def of_grpc(cls, peer: str, forwarded: Sequence[str] = ()) -> "Peer":
        """Read gRPC's `ipv4:127.0.0.1:4711` and `ipv6:%5B::1%5D:4711`."""
        _, _, address = peer.partition(":")
        return cls(unquote(address).rpartition(":")[0].strip("[]"), forwarded)


class ClientAddresses:
    """Finds the client behind the proxies of one deployment."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted: tuple[Network, ...] = tuple(ip_network(cidr) for cidr in trusted)

    def of(self, peer: Peer) -> str:
        """Give the client's address; `unknown` for a peer without one, such as a Unix socket."""
        address = _parsed(peer.host)
        if address is None:
            return _UNKNOWN
        for entry in reversed(self._entries(address, peer)):
            if not self._is_trusted(address) or (before := _parsed(entry)) is None:
                break
            address = before
        return str(address)

    def _entries(self, address: Address, peer: Peer) -> list[str]:
        if not self._trusted or not peer.forwarded or not self._is_trusted(address):
            return []
        return ",".join(peer.forwarded).split(",")[-_MAX_HOPS:]

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def site_of(address: str) -> str:
    """Give what to count an address by: itself, and the /64 of IPv6, all of which one client may have."""
    parsed = _parsed(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return str(ip_network((int(parsed) >> _IPV6_SITE_BITS << _IPV6_SITE_BITS, _IPV6_SITE_BITS)))


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without a zone
    return address
