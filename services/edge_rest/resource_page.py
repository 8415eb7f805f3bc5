"""REST as a protected resource: its metadata, and which scope a route needs (RFC 9728, RFC 6750)."""

from collections.abc import Collection, Iterable

from aiohttp import web

from services.common.policy import policy_of
from services.common.protected_resource import PAGE_HEADERS, ProtectedResource
from services.edge_rest.routes import Route


def resource_of(uri: str, authorization_servers: Iterable[str], routes: Iterable[Route]) -> ProtectedResource:
    """Describe REST by the RPCs that its routes show."""
    policies = (policy_of(route.rpc) for route in routes if route.rpc)
    return ProtectedResource.of("Mailwarden REST", uri, authorization_servers, policies)


def scopes_of(route: Route | None) -> Collection[str]:
    """Give the scopes of which a caller of a route needs one."""
    return policy_of(route.rpc).any_scope if route and route.rpc else ()


def add_metadata(router: web.UrlDispatcher, resource: ProtectedResource) -> None:
    """Publish where clients get a token, if there is such a place."""
    document = resource.document()

    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json", headers=PAGE_HEADERS)

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=PAGE_HEADERS)

    for path in resource.metadata_paths:
        router.add_get(path, page)
        router.add_options(path, preflight)
