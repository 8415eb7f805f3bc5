"""`python -m services.mail_core` serves; with `migrate` it brings its database up to date."""

import sys
from pathlib import Path
from typing import Final

from services.common.backend_process import BackendProcess
from services.mail_core.settings import Settings
from services.mail_core.wiring import SERVICE, mail_core

PROCESS: Final = BackendProcess(SERVICE, Settings, mail_core, Path(__file__).with_name("migrations"))

if __name__ == "__main__":
    PROCESS.main(sys.argv[1:])
