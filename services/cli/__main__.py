"""The `mailwarden` command: what it offers and what each part is told."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console

from services.cli.doctor_command import add_doctor
from services.cli.failure import Failure
from services.cli.grant_commands import add_clients, add_grants, add_tokens
from services.cli.ports import Ports
from services.cli.secrets_commands import add_secrets
from services.cli.team_commands import add_keys, add_team

Command = Callable[[argparse.Namespace], Awaitable[int]]
DEFAULT_FOLDER = Path(".data/up")
_FILE_COLUMNS = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Answers with the exit code: 0 done, 1 failed, 2 wrongly asked."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(options.run(options))
    except Failure as failure:
        Console(stderr=True).print(
            f"mailwarden: {failure}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailwarden",
        description="Lets agents and programs act on people's mail without being able to hurt them.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_up(commands)
    _add_demo(commands)
    add_keys(commands, DEFAULT_FOLDER)
    add_team(commands, DEFAULT_FOLDER)
    add_grants(commands, DEFAULT_FOLDER)
    add_clients(commands, DEFAULT_FOLDER)
    add_tokens(commands, DEFAULT_FOLDER)
    _add_mailbox(commands)
    _add_audit(commands)
    _add_certs(commands)
    add_secrets(commands, DEFAULT_FOLDER)
    add_doctor(commands, DEFAULT_FOLDER)
    return parser


def _add_up(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    ports = Ports()
    parser = commands.add_parser("up", help="run the whole system until Ctrl-C")
    parser.add_argument(
        "--ready-file", type=Path, help="write URLs, key and process ids here as JSON when ready"
    )
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.add_argument(
        "--rest-port", type=_port, default=ports.rest, help="0: any free one; default: %(default)s"
    )
    parser.add_argument("--mcp-port", type=_port, default=ports.mcp, help="default: %(default)s")
    parser.add_argument("--a2a-port", type=_port, default=ports.a2a, help="default: %(default)s")
    parser.add_argument("--a2a-grpc-port", type=_port, default=ports.a2a_grpc, help="default: %(default)s")
    parser.add_argument("--oauth-port", type=_port, default=ports.oauth, help="default: %(default)s")
    parser.add_argument(
        "--no-sandbox", action="store_true", help="use the real Google; import your mailbox then"
    )
    parser.add_argument(
        "--corpus", type=_corpus, help="folder of .eml files, or an mbox, as the sandbox's mail"
    )
    parser.set_defaults(run=_up)


def _add_demo(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    parser = commands.add_parser("demo", help="run the main job on a sandbox and show what happens")
    parser.add_argument(
        "--corpus", type=_corpus, help="folder of .eml files, or an mbox, instead of made-up mail"
    )
    parser.set_defaults(run=_demo)


def _add_mailbox(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    verbs = commands.add_parser("mailbox", help="mailboxes of a running system").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("import", help="connect a mailbox from the files of the personal agent")
    parser.add_argument("--token-file", type=Path, help="default: $GOOGLE_TOKEN_FILE, else token.json")
    parser.add_argument(
        "--unsubscribed", type=Path, help="default: data/unsubscribed_methods.json when it exists"
    )
    parser.add_argument(
        "--sent-links", type=Path, help="default: data/sent_unsubscribe_links.json when it exists"
    )
    parser.add_argument("--team", default="", help="id of the team that gets it; default: the default team")
    parser.add_argument("--label", help="what it is for; keys with a label prefix may use what begins so")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.set_defaults(run=_import_mailbox)


def _add_audit(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    verbs = commands.add_parser("audit", help="the audit log of a running system").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser(
        "verify", help="compute the chains again; exit code 1 names what was tampered with"
    )
    parser.add_argument("--team", default="", help="id of a team; default: all, the system's own included")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="copies of checkpoints that were kept elsewhere, which must still be there; - for stdin",
    )
    parser.set_defaults(run=_verify_audit)
    parser = verbs.add_parser("checkpoints", help="write the signed checkpoints, to be kept elsewhere")
    parser.add_argument("--newest", action="store_true", help="only the last one")
    parser.add_argument(
        "--after", type=int, default=0, metavar="NUMBER", help="only those with a higher number"
    )
    parser.add_argument("--keys", action="store_true", help="the public keys that verify them, instead")
    parser.add_argument("--output", type=Path, help="file to write; default: standard output")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.set_defaults(run=_export_checkpoints)
    parser = verbs.add_parser("export", help="write a log as JSON lines, oldest event first")
    parser.add_argument(
        "--team", default="", help="id of a team; default: what belongs to none, such as unknown credentials"
    )
    parser.add_argument(
        "--url", default="", help="ask this REST edge instead, for the team of $MAILWARDEN_API_KEY"
    )
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.add_argument("--action", default="", help="only this action; key.* for all that begin so")
    parser.add_argument("--output", type=Path, help="file to write; default: standard output")
    parser.set_defaults(run=_export_audit)


def _add_certs(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    parser = commands.add_parser("certs", help="make development certificates")
    parser.add_argument("--dir", type=Path, required=True, help="folder that gets them")
    parser.set_defaults(run=_certs)


async def _up(options: argparse.Namespace) -> int:
    from services.cli.folder import DataFolder
    from services.cli.plan import Plan
    from services.cli.settings import cli_settings, inherited_environment
    from services.cli.up import ReadyFile, up

    plan = Plan(
        folder=DataFolder.prepare(options.data_dir),
        inherited=inherited_environment(),
        ports=Ports(
            options.rest_port,
            options.mcp_port,
            options.a2a_port,
            options.a2a_grpc_port,
            options.oauth_port,
        ),
        has_sandbox=not options.no_sandbox,
        corpus=options.corpus,
        database_url=cli_settings().database_url,
    )
    ready_file = ReadyFile(options.ready_file.absolute()) if options.ready_file else None
    await up(plan, ready_file, _console())
    return 0


async def _demo(options: argparse.Namespace) -> int:
    from services.cli.demo.run import demo

    return await demo(options.corpus, _console())


async def _import_mailbox(options: argparse.Namespace) -> int:
    from services.cli.remote import import_mailbox

    return await import_mailbox(
        options.data_dir,
        options.token_file,
        options.unsubscribed,
        options.sent_links,
        team_id=options.team,
        label=options.label,
    )


async def _verify_audit(options: argparse.Namespace) -> int:
    from services.cli.audit import verify_audit

    return await verify_audit(options.data_dir, options.team, options.checkpoint)


async def _export_checkpoints(options: argparse.Namespace) -> int:
    from services.cli.audit import export_audit, lines_of_checkpoints

    lines = lines_of_checkpoints(
        options.data_dir, options.after, newest_only=options.newest, keys=options.keys
    )
    return await export_audit(lines, options.output)


async def _export_audit(options: argparse.Namespace) -> int:
    from services.cli.audit import export_audit, lines_for_operator, lines_for_team

    if options.url:
        lines = lines_for_team(options.url, options.action)
    else:
        lines = lines_for_operator(options.data_dir, options.team, options.action)
    return await export_audit(lines, options.output)


async def _certs(options: argparse.Namespace) -> int:
    from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now

    try:
        made = ensure_certificates(CertificateFolder(options.dir), utc_now())
    except OSError as error:
        raise Failure(f"cannot write to {options.dir}: {error.strerror}") from error
    Console().print(
        f"{options.dir}: " + (f"made {', '.join(made)}" if made else "all certificates are still good")
    )
    return 0


def _console() -> Console:
    """Standard output; as wide as the terminal, and wide enough for tables in a file."""
    return Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:  # noqa: PLR2004  the range of TCP ports
        raise argparse.ArgumentTypeError("0 to 65535")
    return port


def _corpus(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


if __name__ == "__main__":
    sys.exit(main())
