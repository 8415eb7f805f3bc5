"""Makes a file that holds a private key, for who tries things out and has none."""

import contextlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def write_new_key(file: Path, key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> None:
    """Write a key, readable by us alone. Of two processes that start at once, one's key stays.

    Raises OSError.
    """
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        output.write(pem)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, file)
    temporary.unlink()
