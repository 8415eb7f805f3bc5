"""Judges a link that a stranger wrote without touching the network; the egress judges the address again."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

MAX_URL = 16_384
HTTPS_PORT = 443
HTTP_PORT = 80
_MAX_PORT = 65_535
_PRINTABLE = re.compile(r"[!-~]+")
# Characters that parsers disagree about or that RFC 3986 keeps out of every URI.
_FORBIDDEN = re.compile(r'[\\"<>]')
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:]*)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# A last label like these makes some resolvers read the whole host as an IPv4 address (`0x7f.1`, `127.1`).
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_PRIVATE_SUFFIXES = frozenset(
    {"local", "internal", "localhost", "localdomain", "lan", "home", "corp", "intranet", "arpa", "onion"}
)

# IANA special-purpose registries (RFC 6890 and updates), with multicast and the transition prefixes that
# can carry a private IPv4 address. An address is public when it is in none of them.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, often used inside clusters
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocols, with Teredo, ORCHID and benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# Interface ids of ISATAP (RFC 5214 section 6.1): the rest of the address is an IPv4 address.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network


class LinkProblem(StrEnum):
    """Why a link is not safe to use."""

    MALFORMED = "MALFORMED"
    TOO_LONG = "TOO_LONG"
    SCHEME_NOT_WEB = "SCHEME_NOT_WEB"
    NOT_HTTPS = "NOT_HTTPS"
    USERINFO = "USERINFO"
    PORT_NOT_ALLOWED = "PORT_NOT_ALLOWED"
    HOST_NOT_A_NAME = "HOST_NOT_A_NAME"
    HOST_NOT_PUBLIC = "HOST_NOT_PUBLIC"


@dataclass(frozen=True, slots=True)
class Link:
    """A link taken apart. `target` is path and query exactly as written: signed links break otherwise."""

    scheme: str
    host: str
    port: int
    target: str
    url: str

    @property
    def address(self) -> IpAddress | None:
        """The address when the host is one; None for a name."""
        return _literal(self.host)


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """Networks that are opened on purpose, for a sandbox and for tests: any port, http too."""

    allow: tuple[IpNetwork, ...] = ()

    @classmethod
    def parse(cls, networks: str) -> "LinkPolicy":
        """Read a comma list of CIDRs.

        Raises ValueError: one of them is no network.
        """
        return cls(tuple(ip_network(part.strip()) for part in networks.split(",") if part.strip()))

    def allows(self, ip: str | IpAddress) -> bool:
        """Say whether the policy opens this address."""
        address = ip_address(ip)
        return any(address.version == network.version and address in network for network in self.allow)

    def allows_host(self, host: str) -> bool:
        """Say whether a host is opened: an IP literal inside, or `localhost` when loopback is."""
        literal = _literal(host)
        if literal is not None:
            return self.allows(literal)
        return host == "localhost" and any(self.allows(ip) for ip in ("127.0.0.1", "::1"))

    def permits(self, ip: str | IpAddress) -> bool:
        """Say whether a connection to this address may be made at all."""
        return self.allows(ip) or is_plainly_public(ip)


def is_plainly_public(ip: str | IpAddress) -> bool:
    """Say whether an address is an ordinary public one, with no way to mean a private one."""
    address = ip_address(ip)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None or address not in _GLOBAL_UNICAST_6:
        return False
    is_isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    return not is_isatap and not any(address in network for network in _NOT_PUBLIC_6)


def read_link(url: str, policy: LinkPolicy) -> Link | LinkProblem:
    """Take a link apart if it may be used, by Mailwarden or by a person, or say why not.

    Only https on port 443 to a name or an address that is plainly public; hosts that the policy opens
    may use http and any port. The fragment is dropped, the rest is kept as written.
    """
    link = _parse(url)
    if isinstance(link, LinkProblem) or policy.allows_host(link.host):
        return link
    if link.scheme != "https":
        return _host_problem(link.host) or LinkProblem.NOT_HTTPS
    return _port_problem(link, HTTPS_PORT) or _host_problem(link.host) or link


def judge_link(url: str, policy: LinkPolicy) -> LinkProblem | None:
    """Say why a link may not be used; None when it is safe."""
    link = read_link(url, policy)
    return link if isinstance(link, LinkProblem) else None


def _parse(url: str) -> Link | LinkProblem:
    if len(url) > MAX_URL:
        return LinkProblem.TOO_LONG
    if not _PRINTABLE.fullmatch(url) or _FORBIDDEN.search(url):
        return LinkProblem.MALFORMED
    parts = _URL.fullmatch(url)
    if parts is None:
        return LinkProblem.SCHEME_NOT_WEB
    scheme, authority, target = parts[1].lower(), parts[2].lower(), parts[3]
    if "@" in authority:
        return LinkProblem.USERINFO
    return _with_authority(scheme, authority, target)


def _with_authority(scheme: str, authority: str, target: str) -> Link | LinkProblem:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts[1]:
        return LinkProblem.MALFORMED
    port = int(parts[2]) if parts[2] else (HTTPS_PORT if scheme == "https" else HTTP_PORT)
    if not 0 < port <= _MAX_PORT:
        return LinkProblem.PORT_NOT_ALLOWED
    host = parts[1].strip("[]")
    if parts[1].startswith("[") and not isinstance(_literal(host), IPv6Address):
        return LinkProblem.HOST_NOT_A_NAME
    path = target if target.startswith("/") else f"/{target}"
    return Link(scheme, host, port, path, f"{scheme}://{authority}{target}")


def _port_problem(link: Link, port: int) -> LinkProblem | None:
    return None if link.port == port else LinkProblem.PORT_NOT_ALLOWED


def _host_problem(host: str) -> LinkProblem | None:
    literal = _literal(host)
    if literal is not None:
        return None if is_plainly_public(literal) else LinkProblem.HOST_NOT_PUBLIC
    last_label = host.rpartition(".")[2]
    if _NUMERIC.fullmatch(last_label) or not _NAME.fullmatch(host):
        return LinkProblem.HOST_NOT_PUBLIC if host == "localhost" else LinkProblem.HOST_NOT_A_NAME
    return LinkProblem.HOST_NOT_PUBLIC if last_label in _PRIVATE_SUFFIXES else None


def _literal(host: str) -> IpAddress | None:
    """Read a host as a canonical address; zone ids, leading zeros and short forms are no address."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address
