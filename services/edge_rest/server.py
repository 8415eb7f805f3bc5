"""The server of the REST edge: problem documents also where no route was reached."""

from aiohttp import web

from services.common.context import request_id_from
from services.common.edge import REQUEST_ID_HEADER
from services.common.errors import AppError
from services.common.telemetry import get_logger
from services.common.web_server import Bounds, Runner
from services.edge_rest.problems import problem_response
from services.edge_rest.settings import RestSettings


def runner_of(app: web.Application, settings: RestSettings) -> Runner:
    """Make what runs the application."""
    bounds = Bounds(
        idle_s=settings.idle_timeout_s,
        write_s=settings.write_timeout_s,
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
    )
    return Runner(app, bare_problem, bounds, drain_s=settings.drain_s)


def bare_problem(error: AppError, instance: str) -> web.Response:
    """Answer with a problem outside of every middleware."""
    request_id = request_id_from(None)
    get_logger().info("request", route="unreadable", reason=error.reason, request_id=request_id)
    response = problem_response(error, request_id=request_id, instance=instance)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "mailwarden"
    return response
