"""A client that sends whatever bytes a test wants, and hears all that comes back."""

import contextlib
import socket

PATIENCE = 30.0


def connected(url: str, sent: str | bytes = b"") -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    opened = socket.create_connection((host, int(port)), timeout=PATIENCE)
    opened.sendall(sent.encode() if isinstance(sent, str) else sent)
    return opened


def heard(opened: socket.socket) -> bytes:
    """All until the other side hangs up."""
    whole = b""
    with contextlib.suppress(ConnectionResetError):
        while part := opened.recv(65_536):
            whole += part
    opened.close()
    return whole
