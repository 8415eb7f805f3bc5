"""Whose address counts: the peer's, or what proxies that we trust say of theirs."""

import pytest

from services.common.client_address import ClientAddresses, Peer, site_of

PROXIES = ClientAddresses(("10.0.0.0/8", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        (Peer("203.0.113.7"), "203.0.113.7"),
        (Peer("203.0.113.7", ["198.51.100.1"]), "203.0.113.7"),  # nobody whom we trust
        (Peer("10.0.0.1", ["198.51.100.1"]), "198.51.100.1"),
        (Peer("10.0.0.1", ["192.0.2.66, 198.51.100.1"]), "198.51.100.1"),  # the left one is the client's word
        (Peer("10.0.0.1", ["192.0.2.66", "198.51.100.1, 10.1.2.3"]), "198.51.100.1"),  # two of our proxies
        (Peer("10.0.0.1", ["10.0.0.2"]), "10.0.0.2"),
        (Peer("10.0.0.1", ["192.0.2.66, what?"]), "10.0.0.1"),  # nothing to the left of nonsense is believed
        (Peer("10.0.0.1", ["", ","]), "10.0.0.1"),
        (Peer("2001:db8:1::5", ["2001:db8:2::9"]), "2001:db8:2::9"),
        (Peer("::ffff:10.0.0.1", ["::ffff:198.51.100.1"]), "198.51.100.1"),
        (Peer("fe80::1%eth0"), "fe80::1"),
        (Peer(""), "unknown"),
    ],
)
def test_an_entry_counts_when_who_added_it_is_trusted(peer: Peer, client: str) -> None:
    """Ours: a client cannot choose its own address."""
    assert PROXIES.of(peer) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    """Ours."""
    assert ClientAddresses().of(Peer("127.0.0.1", ["198.51.100.1"])) == "127.0.0.1"


@pytest.mark.parametrize(
    ("told", "host"),
    [("ipv4:127.0.0.1:4711", "127.0.0.1"), ("ipv6:%5B::1%5D:4711", "::1"), ("unix:", "")],
)
def test_grpc_peers_are_read(told: str, host: str) -> None:
    """gRPC's own notation."""
    assert Peer.of_grpc(told).host == host


def test_addresses_of_one_ipv6_site_count_together() -> None:
    """A /64 is the least that one client has, so changing addresses inside it must not help."""
    assert site_of("2001:db8:1:2::1") == site_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert site_of("198.51.100.1") == "198.51.100.1"
    assert site_of("unknown") == "unknown"
