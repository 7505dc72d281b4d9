"""The daemon: sockets, signals, metrics and the order of starting and stopping.

Start: open the book (which takes the lock, recovers and syncs), journal ``opened``, listen, say
``ready``. Stop on SIGTERM: take no new connections, answer new work 91, wait until everything
staged is durable and told, close the links, fold, give up the lock, exit 0.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

from engine.configuration import LEVELS, ledger_limits
from engine.directory import (
    Configuration,
    DirectoryError,
    open_machine,
    open_vault,
    read_configuration,
)
from engine.machine import Machine, SwapFailed
from engine.vault import Vault
from ledger.book import Book, OutcomeUnknown
from ledger.tables import tables_bytes
from posd import heap
from posd.control import serve_control
from posd.host import Host
from posd.link import Limits, Links
from posd.logs import Events, set_level
from posd.logs import begin as begin_log
from posd.metrics import Exposition, Meter
from posd.notify import ALIVE, READY, STOPPING, notify
from posd.observed import Observed
from posd.pages import Pages
from posd.pipeline import Pipeline, monotonic_ms, wall_ms
from posd.terminals import GuardLimits
from posd.tls import HANDSHAKE_SECONDS_MAX, TlsFileError, server_context

BACKLOG = 4096
IDLE_SWEEP_TICKS = 15
ALIAS_SECONDS = 1.0
"""How long the start takes aliases into memory; a million takes about a third of it."""

__all__ = ["Daemon", "TlsFileError", "run", "split_address"]

log = logging.getLogger("counterfoil.posd")


class Daemon:
    """A running daemon: what its parts share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        book: Book,
        machine: Machine,
        vault: Vault,
        configuration: Configuration,
        folder: Path,
    ) -> None:
        self.loop = loop
        self.book = book
        self.meter = Meter()
        self.refresh_keys = vault.refresh
        self.pipeline = Pipeline(loop, book, machine, self.meter)
        self._told = Events()
        host = Host(machine, book.view.get, vault, self.pipeline, self.meter, self.event)
        self.configuration = configuration
        self.reread: Callable[[], Configuration] = lambda: self.configuration
        self.links = Links(host, self.pipeline, self.meter, link_limits(configuration))
        host.guards.limits = guard_limits(configuration)
        self.registry = CollectorRegistry()
        self.registry.register(Exposition(self.meter))
        self.observed = Observed(folder, book, self.pipeline, self.links)
        self.registry.register(self.observed)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.pages = Pages(partial(generate_latest, self.registry), self.pipeline.why_shut)
        self._ticks = 0
        self._told_shut: list[str] = []
        self._servers: list[Any] = []
        self._stopping: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(self._unhandled)

    def event(self, name: str, **values: object) -> None:
        """Log what operations should see, so many of a kind a second at the most."""
        self.meter.count("events")
        self._told.tell(name, values)

    def serve_terminals(self) -> None:
        """Handle what terminals have sent by now, before bulk work has its turn."""
        self.links.handle_now()

    def status(self) -> dict[str, Any]:
        """What the control socket tells."""
        book = self.book
        return {
            "sequence": book.sequence,
            "durable": book.durable,
            "applied": book.applied,
            "overlay": book.overlay_size,
            "connections": len(self.links.open),
            "date": self.pipeline.machine.date,
            "follower": book.follower_alive,
            "refusing": self.pipeline.why_shut(),
            "pid": os.getpid(),
        }

    # Running.

    async def serve(
        self,
        listen: str,
        metrics: str,
        folder: Path,
        tls: tuple[str, ssl.SSLContext] | None = None,
    ) -> None:
        """Listen, say ready, and run until told to stop; `tls` is an address and its context."""
        self._tell_shut()
        doors = [await self._listen(listen, None)]
        if tls is not None:
            doors.append(await self._listen(*tls))
        metrics_host, metrics_port = split_address(metrics)
        scrape = await self.pages.listen(metrics_host, metrics_port)
        control = await serve_control(self, folder)
        self._servers = [*doors, scrape, control]
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.stop)
        self.loop.add_signal_handler(signal.SIGHUP, self.reload)
        tick = self.loop.call_later(1, self._tick)
        also = f" tls {_bound(doors[1])}" if tls is not None else ""
        sys.stdout.write(f"ready {_bound(doors[0])} metrics {_bound(scrape)}{also}\n")
        sys.stdout.flush()
        notify(READY, f"STATUS=terminals on {_bound(doors[0])}")
        await self._stopping
        notify(STOPPING, "STATUS=draining")
        tick.cancel()
        for door in doors:
            door.close()
        self._note_inquiries()
        self.pipeline.draining = True
        self.pipeline.judge()
        wait_ms = self.links.limits.drain_ms
        try:
            await asyncio.wait_for(self.pipeline.drained(), wait_ms / 1000)
        except TimeoutError:
            why = f"the disk did not take the last group in {wait_ms} ms; start again"
            self.pipeline.halt(OutcomeUnknown(why))
        self.links.close()
        for other in (scrape, control):
            other.close()
        await asyncio.sleep(0)
        self.pipeline.stop()

    async def _listen(self, address: str, context: ssl.SSLContext | None) -> Any:
        host, port = split_address(address)
        accept = self.links.accept if context is None else self.links.accept_secured
        return await self.loop.create_server(
            cast("Any", accept),
            host,
            port,
            backlog=BACKLOG,
            reuse_address=True,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX if context is not None else None,
        )

    def reload(self) -> dict[str, Any]:
        """Read the configuration again and take what can be taken without a restart.

        Returns:
            ``taken`` and ``restart``: keys with their old and new values; or ``refused``, why
            nothing of it was taken.
        """
        try:
            new = self.reread()
        except DirectoryError as error:
            log.warning("reload refused: %s", error)
            return {"refused": str(error)}
        old = self.configuration
        taken: dict[str, list[Any]] = {}
        restart: dict[str, list[Any]] = {}
        for key, effective in new.settings.items():
            before = old.settings[key].value
            if before != effective.value:
                if effective.setting.live:
                    taken[key] = [before, effective.value]
                    old.settings[key] = effective
                else:
                    restart[key] = [before, effective.value]
        self.links.limits = link_limits(old)
        self.links.host.guards.limits = guard_limits(old)
        if "serve.log_level" in taken:
            set_level(old.settings["serve.log_level"].value)
        log.info(
            "reloaded %s; a restart is needed for %s", taken or "nothing", restart or "nothing"
        )
        return {"taken": taken, "restart": restart}

    def log_level(self, level: str) -> bool:
        """Log from a level on, until the next reload that names one; False for no level."""
        if level not in LEVELS:
            return False
        set_level(level)
        return True

    def stop(self) -> None:
        """Begin an orderly end."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    def _tick(self) -> None:
        self._ticks += 1
        notify(ALIVE)
        self.pipeline.tick()
        self.observed.look()
        self.links.sweep()
        self._tell_shut()
        every = int(self.configuration.settings["serve.inquiries_seconds"].value)
        if self._ticks % every == 0:
            self._note_inquiries()
        if self._ticks % max(1, min(IDLE_SWEEP_TICKS, self.links.limits.idle_ms // 10_000)) == 0:
            self.links.sweep_idle()
        self.loop.call_later(1, self._tick)

    def _note_inquiries(self) -> None:
        """Have the inquiries of coupons that were counted in the journal, where it takes any."""
        at = wall_ms()
        self.pipeline.watch_clock(at, monotonic_ms())
        if not self.pipeline.shut:
            self.links.host.inquired.note(at)
            self.pipeline.kick()

    def _tell_shut(self) -> None:
        """Log that new work is refused, and why, or that it is taken again; once each."""
        why = self.pipeline.why_shut()
        if why == self._told_shut:
            return
        self._told_shut = why
        for sentence in why:
            log.warning("answering 91: %s", sentence)
        if not why:
            log.info("taking new work again")

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Stop where what is in memory may not be what is staged; log anything else."""
        error = context.get("exception")
        if isinstance(error, SwapFailed | OutcomeUnknown):
            self.pipeline.halt(error)
        loop.default_exception_handler(context)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def link_limits(configuration: Configuration) -> Limits:
    """The bounds of links, as the configuration has them."""
    named = configuration.section("limits")
    return Limits(**{field.name: named[field.name] for field in fields(Limits)})


def guard_limits(configuration: Configuration) -> GuardLimits:
    """The bounds of guards, as the configuration has them."""
    return GuardLimits(**configuration.section("guards"))


def _bound(server: Any) -> str:
    address = server.sockets[0].getsockname()
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def run(
    directory: Path,
    listen: str | None,
    metrics: str | None,
    key: Path | None,
    *,
    confirm_clock: bool = False,
    config: Path | None = None,
    tls: tuple[str, Path, Path] | None = None,
    logging_as: tuple[str | None, str | None] = (None, None),
) -> int:
    """Run the daemon in the foreground until SIGTERM; returns the exit status.

    Args:
        directory: the data directory.
        listen: ``HOST:PORT`` for terminals; port 0 takes a free one; None: as configured.
        metrics: the same for metrics and health.
        key: the key file as named on the command line, if it was.
        confirm_clock: the clock is right, however far from the last entry.
        config: another configuration file than the directory's own.
        tls: ``HOST:PORT`` for terminals under TLS, the host's certificate and key, and the
            authority of the clients' certificates.
        logging_as: ``text`` or ``json``, and the least level that is logged; None: as configured.

    Raises:
        posd.tls.TlsFileError: a file of `tls` cannot be used.
    """
    context = (tls[0], server_context(tls[1], tls[2])) if tls is not None else None
    configuration = read_configuration(directory, config)
    wanted = configuration.section("serve")
    limits = ledger_limits(configuration)
    begin_log(logging_as[0] or wanted["log_format"], logging_as[1] or wanted["log_level"])
    vault = open_vault(directory, key, configuration)
    book, machine = open_machine(directory, configuration=configuration)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        daemon = Daemon(loop, book, machine, vault, configuration, directory)
        daemon.reread = partial(read_configuration, directory, config)
        daemon.pipeline.check_start()
        if confirm_clock:
            daemon.pipeline.confirm_clock()
        book.view.keep_aliases(ALIAS_SECONDS)
        heap.take(wanted["heap_mib"], heap.worth(tables_bytes(directory), limits.overlay_bytes))
        gc.collect()
        gc.freeze()
        heap.use_huge_pages(daemon.pipeline.terminals_ns)
        gc.disable()  # nothing on the path of a message makes cycles; a pause would show in p99.9
        loop.run_until_complete(
            daemon.serve(
                listen or wanted["listen"], metrics or wanted["metrics"], directory, context
            )
        )
    finally:
        loop.close()
        book.close()
    return 0
