"""Answers of other servers, whose length is theirs to choose and ours to bound."""

from typing import Final

import aiohttp

_CHUNK_BYTES: Final = 16_384


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body of up to `limit` bytes. Raises ValueError when it is longer; the rest is not read."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise ValueError(f"the answer has more than {limit} bytes")
    return bytes(content)
