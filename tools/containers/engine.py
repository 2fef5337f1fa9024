"""A container engine that nobody else uses: its own daemon, data and network, which end with the program that started it.

It runs twice. To build, on the machine's network, without bridges of its own. To run containers, in a network namespace that has
nothing but a loopback: what they publish is reached there alone, and no firewall rule of the machine is touched.
"""

# ruff: noqa: S603, S607 - Debian's programs, with words of this project's

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
START_LIMIT_S = 60
STOP_LIMIT_S = 60
ALOOF = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


class Failed(Exception):
    """A command that ended badly, with what it said."""


class OwnEngine:
    def __init__(self, place: Path, docker: str, compose: str) -> None:
        """`place`: an empty directory. `docker`: the client that the daemon's package brings; `compose`: its plugin."""
        self._place = place
        self._docker = docker
        self._daemon: subprocess.Popen[bytes] | None = None
        plugins = place / "client" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(compose)
        at = {"DOCKER_HOST": f"unix://{place}/socket", "DOCKER_CONFIG": str(place / "client"), "DOCKER_BUILDKIT": "1"}
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "FORECOURT_"))} | at

    def start(self, *options: str) -> None:
        """Raises Failed when it does not answer within a minute."""
        where = (f"--data-root={self._place}/data", f"--exec-root={self._place}/run", f"--pidfile={self._place}/pid")
        # It looks for helpers where Debian's packages put them, and a login of somebody else may not have these.
        environ = {**os.environ, "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}"}
        with (self._place / "log").open("ab") as log:
            command = ["dockerd", *where, f"--host={self.environ['DOCKER_HOST']}", *options]
            self._daemon = subprocess.Popen(command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + START_LIMIT_S
        while self._daemon.poll() is None and time.monotonic() < until:
            if self.asked("version").returncode == 0:
                return
            time.sleep(0.2)
        raise Failed("The engine does not start.\n" + (self._place / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self._daemon is None:
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self._daemon = None

    def remove(self) -> None:
        """Ends it, and everything that it kept."""
        self.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def asked(
        self, *words: str, folder: Path | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The client's answer, whatever it is."""
        return subprocess.run(
            [self._docker, *words],
            env={**self.environ, **(more or {})},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def told(self, *words: str, folder: Path | None = None, more: Mapping[str, str] | None = None) -> str:
        """What the client prints. Raises Failed."""
        done = self.asked(*words, folder=folder, more=more)
        if done.returncode != 0:
            raise Failed(f"docker {' '.join(words)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def build(self, name: str, context: Path, *options: str) -> None:
        """On the machine's network. Raises Failed."""
        self.told("build", "--network=host", f"--tag={name}", *options, str(context))


def leave_the_network() -> None:
    """This process, and what it starts from here on, has a network of its own, with a loopback and nothing else. Needs root."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "this machine lends no network namespaces")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Project:
    """A project of `docker compose`."""

    def __init__(self, engine: OwnEngine, folder: Path, files: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self._engine = engine
        self._folder = folder
        self._files = [word for file in files for word in ("--file", file)]
        self._environ = environ or {}

    def __call__(self, *words: str) -> str:
        """What it prints on standard output. Raises Failed."""
        return self._engine.told("compose", *self._files, *words, folder=self._folder, more=self._environ)
