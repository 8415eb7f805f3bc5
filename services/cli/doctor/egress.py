"""Egress: the guard on the way out refuses what is not plainly public, under the running core's policy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Final

from services.cli.doctor.findings import Finding, Status, judged
from services.cli.doctor.target import Target
from services.common.egress import Egress, Refused
from services.common.link_safety import LinkPolicy

Get = Callable[[str, str], Awaitable[object]]
"""Asks for a URL, accepting some media types."""

URLS: Final = (
    "https://127.0.0.1/u",
    "https://localhost/u",
    "https://[::1]/u",
    "https://10.0.0.1/u",
    "https://172.16.0.1/u",
    "https://192.168.0.1/u",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/u",
    "https://[fd00:ec2::254]/u",
    "https://[::ffff:10.0.0.1]/u",
    "https://[64:ff9b::a00:1]/u",
    "https://0.0.0.0/u",
    "http://198.51.100.1/u",
    "https://news.example:8443/u",
)


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Try to get out to where nobody should."""
    allowed = target.setting("mail_core", "EGRESS_ALLOW")
    is_production = target.setting("mail_core", "MAILWARDEN_ENV") == "production"
    yield policy(allowed, is_production=is_production)
    yield await guard(allowed)


def policy(allowed: str, *, is_production: bool) -> Finding:
    """Judge what EGRESS_ALLOW opens."""
    networks = [ip_network(part.strip()) for part in allowed.split(",") if part.strip()]
    wide = [str(network) for network in networks if not network.is_loopback]
    if wide or (networks and is_production):
        opened = ", ".join(wide or [str(network) for network in networks])
        return Finding("egress.policy", Status.FAIL, f"EGRESS_ALLOW opens {opened}")
    problems = [f"EGRESS_ALLOW opens {allowed}, for the sandbox; production refuses it"] if networks else []
    return judged("egress.policy", problems, "nothing but public addresses", worst=Status.WARN)


async def guard(allowed: str, get: Get | None = None) -> Finding:
    """Try each address with our egress, or another way out; what the policy opens is left out.

    Nothing is sent as long as the guard holds.
    """
    links = LinkPolicy.parse(allowed)
    get = get or Egress(policy=links).get
    closed = [url for url in URLS if not _is_opened(url, links)]
    problems = [f"{url} is not refused" for url in closed if not isinstance(await get(url, "*/*"), Refused)]
    return judged("egress.guard", problems, f"{len(closed)} ways to internal addresses are refused")


def _is_opened(url: str, links: LinkPolicy) -> bool:
    host = (
        url.split("/")[2].rpartition("]")[0].removeprefix("[") or url.split("/")[2].split(":", maxsplit=1)[0]
    )
    try:
        ip_address(host)
    except ValueError:
        return links.allows_host(host)
    return links.allows(host)
