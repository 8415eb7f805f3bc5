"""`python -m services.edge_rest`: the REST edge as a process."""

from services.common.process import run_service
from services.edge_rest.settings import RestSettings
from services.edge_rest.wiring import SERVICE, serve

if __name__ == "__main__":
    run_service(SERVICE, RestSettings, serve)
