"""Serves Novita's balance and nothing else, as fast as a socket allows, or after a pause.

    python bench/upstream.py SECONDS

It prints its address. The simulator does much more work for an answer, and would be part of what is measured.
"""

import asyncio
import json
import sys

BODY = json.dumps(
    {
        "availableBalance": "1000000",
        "cashBalance": "1000000",
        "creditLimit": "0",
        "pendingCharges": "0",
        "outstandingInvoices": "0",
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Balance(asyncio.Protocol):
    """Gives every request the same answer. Requests must have no body."""

    def __init__(self, pause: float) -> None:
        self._pause, self._heard = pause, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *whole, self._heard = (self._heard + data).split(b"\r\n\r\n")
        for _ in whole:
            if self._pause:
                asyncio.get_running_loop().call_later(self._pause, self._transport.write, ANSWER)
            else:
                self._transport.write(ANSWER)


async def main(pause: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Balance(pause), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main(float(sys.argv[1])))
