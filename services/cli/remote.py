"""Commands that talk to a system which is already running, here or elsewhere."""

import json
from pathlib import Path

from services.cli.admin import Operator, PersonalAgentFiles
from services.cli.failure import Failure
from services.cli.folder import DataFolder
from services.cli.plain import plain_console
from services.cli.settings import CliSettings, cli_settings
from services.cli.system import operator_of
from services.common.tls import TlsFiles

_UNSUBSCRIBED = Path("data/unsubscribed_methods.json")
_SENT_LINKS = Path("data/sent_unsubscribe_links.json")


async def import_mailbox(
    data_dir: Path,
    token_file: Path | None,
    unsubscribed: Path | None,
    sent_links: Path | None,
    *,
    team_id: str,
    label: str | None,
) -> int:
    """Connect a mailbox from the personal agent's files and say what was taken over."""
    settings = cli_settings()
    files = PersonalAgentFiles(
        _read(token_file or settings.google_token_file),
        _read_state(unsubscribed, _UNSUBSCRIBED),
        _read_state(sent_links, _SENT_LINKS),
    )
    operator = find_operator(data_dir, settings)
    answer = await operator.import_mailbox(files, team_id=team_id, label=label)
    verb = "connected again" if answer.replaced else "connected"
    taken = f"; {answer.imported_unsubscribe_count} earlier unsubscribes taken over"
    told = f"{answer.mailbox.email_address} {verb} as mailbox {answer.mailbox.id}{taken}"
    plain_console().print(told, soft_wrap=True)
    return 0


def find_operator(data_dir: Path, settings: CliSettings) -> Operator:
    """Find the system: the one that the environment names, else the one that runs in the data folder.

    Raises Failure when there is neither.
    """
    if settings.auth_address or settings.mail_core_address:
        return _from_settings(settings)
    folder = DataFolder(data_dir.expanduser().resolve())
    try:
        system = json.loads(folder.system_file.read_bytes())
    except FileNotFoundError:
        raise Failure(
            f"no system is running in {folder.path}; start one with `mailwarden up`, name its folder with"
            " --data-dir, or set AUTH_ADDRESS, MAIL_CORE_ADDRESS and TLS_CERT_FILE, TLS_KEY_FILE, TLS_CA_FILE"
        ) from None
    return operator_of(folder.certificates, system["auth"], system["mail_core"])


def _from_settings(settings: CliSettings) -> Operator:
    cert, key, authority = settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file
    if not (cert and key and authority and settings.auth_address and settings.mail_core_address):
        raise Failure(
            "set all of AUTH_ADDRESS, MAIL_CORE_ADDRESS, TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE, or none"
        )
    for file in (cert, key, authority):
        _read(file)
    return Operator(settings.auth_address, settings.mail_core_address, TlsFiles(cert, key, authority))


def _read_state(named: Path | None, usual: Path) -> str:
    if named:
        return _read(named)
    return _read(usual) if usual.exists() else ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not text") from error
