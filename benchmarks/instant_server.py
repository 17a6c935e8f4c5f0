"""Run a crew server that answers each request immediately with a fixed answer, in its own process.

It is nginx where nginx is installed (then only the clients run Python), otherwise a small asyncio server.
"""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

INPUTS = '{"inputs":["budget","interests","duration","age"]}'
KICKOFF = '{"kickoff_id":"abcd1234-5678-90ef-ghij-klmnopqrstuv"}'
STATUS = (
    '{"status":"completed","result":{"output":"Comprehensive travel itinerary...","tasks":['
    '{"task_id":"research_task","output":"Research findings...","agent":"Researcher","execution_time":45.2},'
    '{"task_id":"planning_task","output":"7-day itinerary plan...","agent":"Trip Planner","execution_time":62.8}]},'
    '"execution_time":108.5}'
)
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; default_type application/json; client_body_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    location = /inputs {{ return 200 '{inputs}'; }}
    location = /kickoff {{ return 200 '{kickoff}'; }}
    location /status/ {{ return 200 '{status}'; }}
  }}
}}
"""


@contextlib.contextmanager
def instant_server() -> Iterator[tuple[str, str]]:
    """Run the server; yields its URL and its kind (`nginx` or `asyncio`)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    with tempfile.TemporaryDirectory() as folder:
        if nginx:
            config = Path(folder) / "nginx.conf"
            config.write_text(
                _NGINX.format(folder=folder, port=port, inputs=INPUTS, kickoff=KICKOFF, status=STATUS),
                encoding="utf-8",
            )
            command = [nginx, "-p", folder, "-c", str(config)]
        else:
            command = [sys.executable, __file__, str(port)]
        process = subprocess.Popen(command)
        try:
            _until_listening(port, process)
            yield f"http://127.0.0.1:{port}", "nginx" if nginx else "asyncio"
        finally:
            process.terminate()
            process.wait()


def _until_listening(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.1):
            return
    raise SystemExit("the instant server did not start")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            for line in head.split("\r\n"):
                if line.lower().startswith("content-length:"):
                    await reader.readexactly(int(line.split(":")[1]))
            path = head.split(" ", 2)[1]
            body = KICKOFF if path == "/kickoff" else STATUS if path.startswith("/status/") else INPUTS
            answer = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((answer + body).encode())
            await writer.drain()
    writer.close()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
