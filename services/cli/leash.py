"""Replaces itself by a command that cannot outlive its starter and, when told so, is not root.

Run by path (`python -I -S leash.py JSON COMMAND…`), so it imports nothing of ours and costs some 15 ms;
the process id stays. Python's own `preexec_fn` could do this but is unsafe beside gRPC's threads.

JSON: `parent` (pid that must still be ours), `signal` (sent by the kernel when the parent dies), and
optionally `uid`, `gid` and `reach` (keep the right to walk through folders that only root may enter).
The kernel's part needs Linux; elsewhere the command just runs.
"""

import ctypes
import json
import os
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    """Put the leash on and become the command."""
    spec = json.loads(sys.argv[1])
    if "uid" in spec:
        _become(spec["uid"], spec["gid"], reach=spec.get("reach", False))
    if sys.platform == "linux":
        # After the change of user, which clears it.
        _prctl(_PR_SET_PDEATHSIG, spec["signal"])
    if os.getppid() != spec["parent"]:
        raise SystemExit("the process that asked for this one is gone")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the purpose of this file


def _become(uid: int, gid: int, *, reach: bool) -> None:
    if reach:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if reach:
        _keep(_CAP_DAC_OVERRIDE)


def _keep(capability: int) -> None:
    """Hold one capability, also across exec, and no other."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    bits = 1 << capability
    data = struct.pack("6I", bits, bits, bits, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    main()
