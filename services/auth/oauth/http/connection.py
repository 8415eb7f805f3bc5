"""What ends before any route is reached, answered in the words of OAuth, never in the parser's."""

import secrets

from aiohttp import web

from services.common.errors import AppError, Kind
from services.common.problem import HttpError
from services.common.telemetry import get_logger


def refused(error: AppError, path: str) -> web.Response:
    """Answer what could not be read, or what failed outside of every middleware."""
    del path  # nothing of the request is told again
    status = error.status.value if isinstance(error, HttpError) else error.mapped.http_status
    request_id = secrets.token_hex(8)
    get_logger().info("oauth_request", route="unreadable", status=status, request_id=request_id)
    code = "server_error" if error.kind is Kind.INTERNAL else "invalid_request"
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Server": "mailwarden",
        "X-Request-Id": request_id,
    }
    said = {"error": code, "error_description": error.message}
    return web.json_response(said, status=status, headers=headers)
