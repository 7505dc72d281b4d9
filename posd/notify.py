"""Words to the service manager, as systemd's sd_notify has them: ready, stopping, still alive.

A manager that wants them names a datagram socket in ``NOTIFY_SOCKET``; without one nothing is said.
A word that does not arrive costs a restart at most, never a reply.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"


def notify(*words: str) -> bool:
    """Say words to the service manager; False when there is none that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract names
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        link.sendto("\n".join(words).encode(), address)
        return True
    return False
