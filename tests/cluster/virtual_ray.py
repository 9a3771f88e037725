"""A real Ray cluster on this machine, of nodes with host names of their own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster.hosts import kill_host, on_host, until

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
PORT = 6399
TRIES = 3
ADDRESS = f"127.0.0.1:{PORT}"


class Ray:
    """Starts at once, with a head and a second node of one processor each, and runs until `stop`.

    Args:
        program: the command `ray`.
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self.base = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))  # Ray's sockets lie below, and their paths must be short
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = os.environ | ENVIRONMENT
        try:
            less = ["--include-dashboard=false", "--no-monitor"]  # processes that nobody needs
            head = ["--head", f"--port={PORT}", f"--temp-dir={self.base}", *less]
            self._start("gr1", *head)
            self._start("gr2", f"--address={ADDRESS}")
        except BaseException:
            self.stop()
            raise

    def _start(self, name: str, *arguments: str) -> None:
        """Starts a node; again where the machine is too busy for the half a minute that Ray gives it."""
        command = [*on_host(name), self.program, "start", *arguments, "--node-ip-address=127.0.0.1", "--num-cpus=1", "--block"]
        command += ["--include-log-monitor=false", "--object-store-memory=100000000"]
        said = self.base / f"{name}.log"
        for _ in range(TRIES):
            with open(said, "wb") as log:
                self.nodes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
            until(lambda: self._ended(name) or "Ray runtime started" in said.read_text(), f"node {name} is up", 180)
            if not self._ended(name):
                return
        raise AssertionError(said.read_text())

    def _ended(self, name: str) -> bool:
        return self.nodes[name].poll() is not None

    def kill_node(self, name: str) -> None:
        """As if its power was cut."""
        process = self.nodes.pop(name)
        kill_host(process.pid)
        process.wait()

    def stop(self) -> None:
        """Ends everything that this object started."""
        for name in [*self.nodes]:
            if not self._ended(name):
                self.kill_node(name)
        shutil.rmtree(self.base, ignore_errors=True)
