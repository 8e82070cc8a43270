"""A nats-server of our own: a free port of the loopback, files in a folder; killed and started again at will."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

UNPACKED = Path(__file__).parents[2] / "build" / "servers" / "usr" / "sbin"  # by tools/prepare.sh
PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path=f"/usr/sbin:/usr/local/sbin:{UNPACKED}")


def free_port() -> int:
    """One that nobody listens at, and that no system hands out to whoever connects."""
    for _ in range(1000):
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no port is free")


class NatsServer:
    """`with NatsServer(folder) as server: server.url`. `config`: lines of a configuration file."""

    def __init__(self, folder: Path, config: str = "", *, jetstream: bool = True) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        store = f'jetstream {{ store_dir: "{folder / "jetstream"}" }}\n' if jetstream else ""
        self._config = folder / "nats.conf"
        self._config.write_text(f"host: 127.0.0.1\nport: {self.port}\n{store}{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        assert PROGRAM is not None
        with open(self.folder / "nats.log", "ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", str(self._config)], stdout=log, stderr=log)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        self.kill()
        raise RuntimeError("nats-server does not start:\n" + (self.folder / "nats.log").read_text()[-2000:])

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
