"""`python -m services.auth` serves; `python -m services.auth migrate` brings its database up to date."""

import sys
from pathlib import Path
from typing import Final

from services.auth.settings import AuthSettings
from services.auth.wiring import SERVICE, built
from services.common.backend_process import BackendProcess

PROCESS: Final = BackendProcess(SERVICE, AuthSettings, built, Path(__file__).with_name("migrations"))

if __name__ == "__main__":
    PROCESS.main(sys.argv[1:])
