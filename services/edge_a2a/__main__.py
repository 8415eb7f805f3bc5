"""`python -m services.edge_a2a`: the A2A edge as a process."""

from services.common.process import run_service
from services.edge_a2a.settings import A2aSettings
from services.edge_a2a.wiring import SERVICE, serve

if __name__ == "__main__":
    run_service(SERVICE, A2aSettings, serve)
