"""An ASGI app on a real socket."""

import contextlib
import socket
import threading
from collections.abc import Generator

import uvicorn
from novita_mcp.server.connections import Guarded
from starlette.types import ASGIApp


@contextlib.contextmanager
def serve_asgi(
    app: ASGIApp,
    listener: socket.socket | None = None,
    *,
    own_date: bool = False,
    http: str | type[Guarded] = Guarded,
    rests: int = 5,
) -> Generator[str]:
    """Run in a thread until the block ends; yields the base URL, without a trailing slash.

    Args:
        listener: Where to listen, for an app that must know its own address; it is closed at the end.
        own_date: Whether the app says what time it is, or nothing does.
        http: Who reads the requests: the protocol of our server for many, or uvicorn's, by its name there.
        rests: Seconds that a connection may rest between two requests.
    """
    # The socket listens before the server does: early requests queue, so nobody polls for readiness.
    with listener or socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            http=http,
            log_config=None,
            timeout_keep_alive=rests,
            timeout_graceful_shutdown=1,
            date_header=not own_date,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
