"""HAProxy under our supervision: written, checked, started, brought back, reloaded without a refused connection, stopped.

    async with Gateway(plan, data / "gateway") as gateway:
        ...                                             # serves
        await gateway.runtime.weigh("booking", ["v2=10%"])
        await gateway.runtime.drain("booking", "v1.1")  # before that server is stopped
        await gateway.reload(another_plan)

While it runs it asks identity for the public keys of access tokens every few seconds, and reloads when they have changed.
The next key is published a day before it signs, so no token is refused on the way. What it shows to services, and the certificate
that it shows to people, are read as often. A version that fails more than the one beside it gets no more requests (`canary.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import structlog

from forecourt.engines import EngineError
from forecourt.engines.process import Owner, guarded
from forecourt.gateway.canary import Watch
from forecourt.gateway.config import PROOF, Rendered, render
from forecourt.gateway.keys import Keys, KeySource
from forecourt.gateway.names import LookUp, Names, look_up
from forecourt.gateway.plan import Plan
from forecourt.gateway.runtime import Runtime, socket_of
from forecourt.kernel.errors import Problem
from forecourt.kernel.settings import Secret, SettingsError

__all__ = ["Gateway", "Proof", "Rendered", "check", "find_haproxy", "haproxy_program", "render", "serve"]

KEYS_EVERY_S = 5.0
START_LIMIT_S = 15.0
CHECK_LIMIT_S = 15.0
GRACE_S = 10.0
"""What is under way may take so long when the gateway stops."""
POLL_S = 0.02
PAUSE_S = 1.0
QUICK_S = 5.0
"""One that dies so soon after its start would do so again: it is brought back after a pause, and any other at once."""
KEPT_KEYS = "keys.json"

Proof = Callable[[Plan], Secret | None]
"""What a gateway of that plan shows to its services now; None: nothing. Raises SettingsError when it cannot be read."""

log = structlog.get_logger("forecourt.gateway")


def _nothing(_: Plan) -> Secret | None:
    return None


def find_haproxy() -> str | None:
    """Where HAProxy is; None when it is not installed."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def haproxy_program() -> str:
    """Where HAProxy is. Raises EngineError."""
    found = find_haproxy()
    if found is None:
        raise EngineError("HAProxy is not installed.", "Install version 2.6 or later, such as with `apt-get install haproxy`.")
    return found


@contextlib.contextmanager
def writing(folder: Path) -> Generator[None]:
    """While a gateway's files are written to `folder`. Raises EngineError when they cannot be."""
    try:
        yield
    except OSError as e:
        cure = "Choose another place: --data for a gateway that runs, --into for its files."
        raise EngineError(f"A gateway's files cannot be written to {folder}: {e.strerror}.", cure) from e


async def check(config: Path) -> None:
    """Raises EngineError with HAProxy's own words when it would refuse a configuration."""
    process = await asyncio.create_subprocess_exec(
        haproxy_program(), "-c", "-q", "-f", str(config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise EngineError("HAProxy does not come to an end with its configuration.", f"Look at {config}.") from None
    if process.returncode != 0:
        raise EngineError(f"HAProxy refuses {config}.", said.decode(errors="replace").strip())


class Gateway:
    """A running HAProxy. Everything of its own lies in `folder`: configuration, keys, weights, the runtime socket."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        proof: Proof = _nothing,
        prefix: Sequence[str] = (),
        output: Path | None = None,
        names: LookUp = look_up,
    ) -> None:
        """`prefix` stands before the program's name, such as `ip netns exec gateway`. What HAProxy says goes to `output`, or
        where our own output goes. `names` says which addresses a server's name stands for."""
        self.plan = plan
        self.folder = folder.absolute()
        self.runtime = Runtime(self.folder)
        self._names = Names(self.runtime, names)
        self._prefix = list(prefix)
        self._output = output
        self._keys: Keys | None = None
        self._ask_proof = proof
        self._proof: Secret | None = None
        self._shown = self._refused = ""
        """Prints of certificates: of the one that people are shown, and of the last that HAProxy did not take."""
        self._watch = Watch()
        self._process: Process | None = None
        self._begun = 0.0
        self._leaving: set[Process] = set()
        self._tending: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns when connections are taken. Raises EngineError with HAProxy's reason when it cannot run like this."""
        with writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            socket_of(self.folder).parent.mkdir(mode=0o700, exist_ok=True)
        await self.runtime.refuse_another()
        self._proof = self._ask_proof(self.plan)
        source = self._source()
        self._keys = await source.ask() or source.last()
        async with self._changing:
            await self._go()
        await self._names.follow(self.plan)
        self._tending = asyncio.create_task(self._tend(), name="gateway")

    async def stop(self) -> None:
        """Takes no more connections, finishes what is under way, and ends."""
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
        processes = [p for p in (self._process, *self._leaving) if p is not None and p.returncode is None]
        self._process = None
        await asyncio.gather(*(_end(process) for process in processes))

    async def reload(self, plan: Plan | None = None) -> None:
        """Goes on with another plan, or with the same and a new certificate or proof. Raises EngineError or SettingsError; then
        nothing has changed."""
        async with self._changing:
            before = self.plan, self._proof
            proof = self._ask_proof(plan or self.plan)
            self.plan, self._proof = plan or self.plan, proof
            try:
                await self._go()
            except EngineError:
                self.plan, self._proof = before
                raise

    async def refresh_proof(self) -> bool:
        """Whether services have to be shown something else than before, and are. Raises EngineError or SettingsError."""
        if self._ask_proof(self.plan) == self._proof:
            return False
        await self.reload()
        log.info("gateway_proof_changed")
        return True

    async def refresh_certificate(self) -> bool:
        """Whether the certificate is another than people were shown, and is shown now. Raises EngineError, once, for one that
        HAProxy does not take."""
        there = self._print()
        if there in ("", self._shown, self._refused):
            return False
        try:
            await self.reload()
        except EngineError:
            self._refused = there
            raise
        log.info("gateway_certificate_changed")
        return True

    async def withdraw_failing(self) -> list[str]:
        """Gives no more requests to versions that do worse than the one beside them; which. Raises EngineError."""
        found = self._watch.look(await self.runtime.services(), self.plan.health)
        for failing in found:
            await self.runtime.weigh(failing.service, [f"{failing.version}=0%"])
            log.error(
                "gateway_version_withdrawn",
                service=failing.service,
                version=failing.version,
                answers=failing.count.answers,
                failures=failing.count.failures,
                main_answers=failing.main.answers,
                main_failures=failing.main.failures,
            )
        return [f"{failing.service} {failing.version}" for failing in found]

    async def refresh_keys(self) -> bool:
        """Asks for the keys now; whether they had changed, and are in use. Raises EngineError."""
        keys = await self._source().ask()
        if keys is None or keys == self._keys:
            return False
        before, self._keys = self._keys, keys
        try:
            await self.reload()
        except EngineError:
            self._keys = before
            raise
        log.info("gateway_keys_changed", keys=len(keys))
        return True

    @property
    def pid(self) -> int:
        """The process that takes connections."""
        if self._process is None:
            raise RuntimeError("the gateway does not run")
        return self._process.pid

    # --- pieces ---

    def _source(self) -> KeySource:
        return KeySource(self.plan, self.folder / KEPT_KEYS, self._proof)

    async def _go(self) -> None:
        """On with the plan as it is, and what lies beside it."""
        shown = self._print()
        await self._begin(await self._written())
        self._shown = shown

    def _print(self) -> str:
        """Of the certificate's file; empty without one, or while it is being exchanged."""
        try:
            return "" if self.plan.certificate is None else hashlib.sha256(self.plan.certificate.read_bytes()).hexdigest()
        except OSError:
            return ""

    async def _written(self) -> Path:
        made = render(self.plan, self.folder, keys=self._keys, weights=self.runtime.weights(), runtime=socket_of(self.folder))
        config = made.write(self.folder)
        await check(config)
        return config

    async def _begin(self, config: Path) -> None:
        """Starts HAProxy; one that runs hands over its listening sockets and finishes what it has under way."""
        command = [haproxy_program(), "-db", "-f", str(config)]  # with -q it would be silent for good, and its log with it
        old = self._process if self._process is not None and self._process.returncode is None else None
        if old is not None:
            command += ["-x", str(socket_of(self.folder)), "-sf", str(old.pid)]
        new = await self._spawn(command)
        try:
            await self._await_ready(new)
        except BaseException:
            await _end(new)
            raise
        self._process = new
        self._begun = asyncio.get_running_loop().time()
        self._names.forget()
        if old is not None:
            self._leaving = {p for p in self._leaving if p.returncode is None} | {old}

    async def _spawn(self, command: Sequence[str]) -> Process:
        # In a session of its own: a terminal's Ctrl-C is for us, and we stop it in good order.
        whole = [*self._prefix, *guarded(command, Owner("self", os.geteuid()), signal.SIGTERM)]
        with contextlib.ExitStack() as stack:
            output = None if self._output is None else stack.enter_context(self._output.open("ab"))
            return await asyncio.create_subprocess_exec(
                *whole,
                env=self._environ(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _environ(self) -> dict[str, str]:
        """Ours, with the one key that is shown in place of all that there are."""
        kept = {name: value for name, value in os.environ.items() if name not in (PROOF, "FORECOURT_GATEWAY_KEYS")}
        return kept if self._proof is None else kept | {PROOF: self._proof.reveal()}

    async def _await_ready(self, process: Process) -> None:
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while process.returncode is None:
                    with contextlib.suppress(EngineError):
                        if await self.runtime.pid() == process.pid:
                            return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise EngineError(f"HAProxy did not answer within {START_LIMIT_S:.0f} s.", f"Look at {self.folder}.") from None
        raise EngineError(
            f"HAProxy ended while starting (exit status {process.returncode}).",
            f"It says why above or in its log. Is one of {', '.join((*self.plan.listen, self.plan.internal))} taken?",
        )

    async def _died(self) -> bool:
        async with self._changing:  # an old process that ends after a reload has a successor
            return self._process is not None and self._process.returncode is not None

    async def _tend(self) -> None:
        """Brings HAProxy back when it died, and keeps the keys fresh."""
        while True:
            process = self._process
            assert process is not None  # noqa: S101 - started before
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KEYS_EVERY_S)
            died = await self._died()
            try:
                if died:
                    log.warning("gateway_died", code=process.returncode)
                    if asyncio.get_running_loop().time() - self._begun < QUICK_S:
                        await asyncio.sleep(PAUSE_S)
                    await self.reload()
                else:
                    await self._names.follow(self.plan)
                    await self.withdraw_failing()
                    await self.refresh_proof()
                    await self.refresh_certificate()
                    await self.refresh_keys()
            except (EngineError, SettingsError, Problem, OSError) as e:
                log.error("gateway_trouble", error=str(e))
                if died:
                    await asyncio.sleep(PAUSE_S)
                    continue
                with contextlib.suppress(TimeoutError):  # if its death is the trouble, it is brought back at once
                    await asyncio.wait_for(process.wait(), PAUSE_S)


async def _end(process: Process) -> None:
    for number, patience_s in ((signal.SIGUSR1, GRACE_S), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s)
            return


async def serve(read: Callable[[], Plan], folder: Path, ready: Callable[[Gateway], None], *, proof: Proof = _nothing) -> None:
    """A gateway until SIGINT or SIGTERM. SIGHUP reads the plan anew; one that is wrong is told of and changes nothing."""
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    async with Gateway(read(), folder, proof=proof) as gateway:
        ready(gateway)
        while not stop.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (stop, again)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if again.is_set() and not stop.is_set():
                again.clear()
                try:
                    await gateway.reload(read())
                    log.info("gateway_reloaded")
                except (EngineError, SettingsError) as e:
                    log.error("gateway_not_reloaded", error=str(e))
