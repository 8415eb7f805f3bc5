"""What a person asked to run, and the processes that this makes: commands, settings, addresses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.cli.environment import environment_of
from services.cli.folder import DataFolder
from services.cli.ports import HOST, Ports
from services.cli.programs import Program, announced_in, python
from services.cli.provisioning import Database
from services.common.master_keys import new_master_key_line

EDGES: Final = ("edge_rest", "edge_mcp", "edge_a2a")
_RESOURCES: Final = ("edge_mcp", "edge_rest", "edge_a2a")
"""Whom tokens are for. MCP comes first: it is meant where a client does not say."""
STOP_ORDER: Final = (EDGES, ("mail_core", "auth"), ("sandbox",), ("postgres",))
_DRAIN_S: Final = 10.0
_LEAVING_S: Final = 5.0
_LOOPBACK: Final = "127.0.0.0/8"


@dataclass(frozen=True, slots=True)
class Plan:
    """One system to run. Processes are told of ports, so none of them may be 0 by then."""

    folder: DataFolder
    inherited: Mapping[str, str] = field(repr=False)
    ports: Ports = field(default_factory=Ports)
    has_sandbox: bool = True
    corpus: Path | None = None
    database_url: str = field(default="", repr=False)

    @property
    def issuer(self) -> str:
        """The authorization server, as clients know it. A person may put a name of their own before it."""
        return self.inherited.get("OAUTH_ISSUER") or f"http://{HOST}:{self.ports.oauth}"

    def resource(self, edge: str) -> str:
        """An edge, as clients know it and as tokens name it."""
        match edge:
            case "edge_mcp":
                named = self.inherited.get("MCP_RESOURCE_SERVER_URL")
                return named or f"http://{HOST}:{self.ports.mcp}/mcp"
            case "edge_rest":
                return f"http://{HOST}:{self.ports.rest}"
            case _:
                return f"http://{HOST}:{self.ports.a2a}"

    def sandbox(self) -> Program:
        """The local Google and the senders' hosts."""
        corpus = {"SANDBOX_CORPUS": str(self.corpus.resolve())} if self.corpus else {}
        pins = {"LISTEN": "google", "SENDERS_LISTEN": "senders"}
        quota = {"SANDBOX_QUOTA_TABLE": self._local_quota("SANDBOX_QUOTA_TABLE")}
        return self._service("sandbox", corpus | quota | dict.fromkeys(pins, f"{HOST}:0"), pins)

    def auth(self, database: Database) -> Program:
        """The service that says who is calling."""
        settings = {
            "LISTEN": f"{HOST}:0",
            "DATABASE_URL": database.app_url,
            "PASSPORT_KEY_FILE": str(self.folder.secrets / "passport.pem"),
            "AUDIT_KEY_FILE": str(self.folder.secrets / "audit.pem"),
            "AUDIT_CHECKPOINT_FILE": str(self.folder.audit_checkpoints),
            "OAUTH_LISTEN": f"{HOST}:{self.ports.oauth}",
            "OAUTH_ISSUER": self.issuer,
            "OAUTH_RESOURCES": ",".join(
                self.resource(edge) for edge in ("edge_mcp", "edge_rest", "edge_a2a")
            ),
            "OAUTH_KEY_FILE": str(self.folder.secrets / "oauth.pem"),
            "MCP_RESOURCE_SERVER_URL": self.resource("edge_mcp"),
        }
        return self._service("auth", settings, {"LISTEN": "grpc", "OAUTH_LISTEN": "oauth"})

    def mail_core(self, database: Database, auth_address: str, google: str) -> Program:
        """The service that owns mail. `google` is the sandbox's URL; empty for the real one."""
        master_key = self.folder.secret("master.key", new_master_key_line("k1") + "\n")
        settings = {
            "LISTEN": f"{HOST}:0",
            "DATABASE_URL": database.app_url,
            "AUTH_ADDRESS": auth_address,
            "MASTER_KEY_FILE": str(master_key),
        }
        if google:
            settings |= {
                "GOOGLE_API_ENDPOINT": google,
                "GOOGLE_TOKEN_URI": f"{google}/token",
                "EGRESS_ALLOW": _LOOPBACK,
                "GMAIL_QUOTA_TABLE": self._local_quota("GMAIL_QUOTA_TABLE"),
            }
        return self._service("mail_core", settings, {"LISTEN": "grpc"})

    def edge(self, name: str, auth_address: str, mail_core_address: str) -> Program:
        """One of the three edges."""
        backends = {"AUTH_ADDRESS": auth_address, "MAIL_CORE_ADDRESS": mail_core_address}
        resource = "MCP_RESOURCE_SERVER_URL" if name == "edge_mcp" else "PUBLIC_URL"
        published = {"OAUTH_ISSUER": self.issuer, resource: self.resource(name)}
        port, key = {
            "edge_rest": (self.ports.rest, "http"),
            "edge_mcp": (self.ports.mcp, "mcp"),
            "edge_a2a": (self.ports.a2a, "a2a"),
        }[name]
        listens, pins = {"LISTEN": f"{HOST}:{port}"}, {"LISTEN": key}
        if name == "edge_a2a":
            listens["A2A_GRPC_LISTEN"] = f"{HOST}:{self.ports.a2a_grpc}"
            pins["A2A_GRPC_LISTEN"] = "a2a_grpc"
        return self._service(name, backends | published | listens, pins)

    def migration(self, service: str, database: Database) -> Program:
        """The schema changes of one service, run as the owner of its schema."""
        urls = {"DATABASE_OWNER_URL": database.owner_url, "DATABASE_URL": database.app_url}
        base = self.auth(database) if service == "auth" else self.mail_core(database, f"{HOST}:1", "")
        return Program(
            name=f"{service} migrate",
            command=(*base.command, "migrate"),
            environment={**base.environment, **urls},
            log=base.log,
        )

    def _local_quota(self, name: str) -> str:
        """The table that both sides of the local Google keep: the older one reads a mailbox in seconds."""
        return self.inherited.get(name, "2025")

    @property
    def _drain_s(self) -> float:
        """How long a service may finish what is in flight. What is no number, the service refuses itself."""
        try:
            return float(self.inherited.get("DRAIN_S", _DRAIN_S))
        except ValueError:
            return _DRAIN_S

    def _service(self, name: str, settings: Mapping[str, str], pins: Mapping[str, str]) -> Program:
        ready_file = self.folder.announcements / f"{name}.json"
        return Program(
            name=name,
            command=python("-m", f"services.{name}"),
            environment={
                **environment_of(name, self.inherited),
                **self.folder.certificates.environment(name),
                **settings,
                "READY_FILE": str(ready_file),
            },
            log=self.folder.log(name),
            probe=announced_in(ready_file),
            pins=pins,
            stop_s=self._drain_s + _LEAVING_S,
        )
