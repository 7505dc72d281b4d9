"""Yardstick: the same ledger as PostgreSQL procedures, driven by pgbench.

`measure` makes a cluster of its own in a temporary folder (Unix socket only), loads
`schema.sql`, `procedures.sql` and `sample.sql`, lets pgbench call `accrue` and `redeem` four to
one for random members, proves with `checks.sql` that the calls did the ledger's work, and
removes the cluster. Durability is what the daemon promises: `fsync` and `synchronous_commit` are
on, a reply means that the transaction is on disk.

Two ways of keeping balances are measured: legs appended with their entry and summed at night,
which is the yardstick because it is the faster one, and, shortly, account rows changed in place
(`balances_in_place.sql`).

The server runs under `timeout`, so that it ends even where this process is killed.
"""

import argparse
import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import Latencies

SOURCES = Path(__file__).resolve().parent
PROGRAMS = ("initdb", "postgres", "psql", "pgbench", "pg_isready")
VARIANTS = {
    "appending": ("schema.sql", "procedures.sql", "sample.sql"),
    "in_place": ("schema.sql", "procedures.sql", "balances_in_place.sql", "sample.sql"),
}
TERMINALS_PER_CLIENT = 16  # as in the pgbench scripts
MIX = ("--file=accrue.pgbench@4", "--file=redeem.pgbench@1")
THREADS = 2
LATENCY_SAMPLE = 0.1  # part of the transactions whose latency pgbench logs
WARM_UP_S = 2
MEASURED_FROM_CALL = 4_000_000  # numbers a client's calls; the warm-up's are below
START_S_MAX = 30.0
PREPARING_S_MAX = 600  # the server stops by itself that long after the measured times

SETTINGS = {
    # Durability as the daemon has it.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # No replication and no archive: the least that survives a crash.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Everything in memory, and no checkpoint within the measured time.
    "shared_buffers": "1GB",
    "wal_buffers": "64MB",
    "min_wal_size": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    # Short statements on a fast disk, planned once a session.
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "max_connections": "200",
    "listen_addresses": "",
    "timezone": "Asia/Shanghai",
}


class Unavailable(Exception):
    """PostgreSQL cannot be used here; the message says why, in one sentence."""


class BooksWrong(Exception):
    """The load left books that do not hold, so its figures mean nothing."""


class Cluster:
    """A PostgreSQL cluster in `folder`, owned by `user` and its group (None: our own)."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self.programs = programs
        self.folder = folder
        self.user = user
        self.groups: list[str] | None = None if user is None else []

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs in the folder; return what it prints.

        Raises:
            RuntimeError: it failed; the message is its own.
        """
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "PGHOST": str(self.folder)},
            user=self.user,
            group=self.user,
            extra_groups=self.groups,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
        return done.stdout

    def sql(self, database: str, *arguments: str, **variables: int) -> str:
        """Run psql on `database`, stopping at the first error; return bare rows."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        options += ["--username=postgres", f"--dbname={database}", "--set=ON_ERROR_STOP=1"]
        options += [f"--set={name}={value}" for name, value in variables.items()]
        return self.run("psql", *options, *arguments).strip()

    @contextlib.contextmanager
    def serving(self, seconds_max: int) -> Iterator[None]:
        """Create the cluster, run its server, stop it, after `seconds_max` in any case.

        Raises:
            RuntimeError: the server did not start.
        """
        options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
        self.run("initdb", "--pgdata=data", *options)
        command = ["timeout", "--signal=INT", str(seconds_max)]
        command += [str(self.programs / "postgres"), "-D", "data", "-k", str(self.folder)]
        command += [f"--{name}={value}" for name, value in SETTINGS.items()]
        log = self.folder / "server.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=self.folder,
                user=self.user,
                group=self.user,
                extra_groups=self.groups,
                stdout=output,
                stderr=output,
            ) as server,
        ):
            try:
                if not self._accepts(server):
                    raise RuntimeError(f"PostgreSQL did not start: {log.read_text().strip()}")
                yield
            finally:
                server.terminate()  # passed on as the signal for a fast shutdown

    def _accepts(self, server: subprocess.Popen[bytes]) -> bool:
        limit = time.monotonic() + START_S_MAX
        while server.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(RuntimeError):
                self.run("pg_isready", "--quiet")
                return True
            time.sleep(0.1)
        return False


def measure(
    seconds: int = 15, clients: int = 64, members: int = 100_000, in_place_s: int = 5
) -> dict[str, object]:
    """Measure the transactions a second of the PostgreSQL ledger.

    Args:
        seconds: measured time of the yardstick, after two seconds of warm-up.
        clients: pgbench clients, each with one call in flight.
        members: members with a card and two lots each.
        in_place_s: measured time of the variant with balances in place.

    Returns:
        `tps`, `transactions`, `latency_ms` (average), `p50_us`, `p99_us`, `p99_9_us` and `max_us`
        of a sample, `in_place_tps` and `version`; or `skipped` with one sentence where there is
        no PostgreSQL and none can be installed.

    Raises:
        BooksWrong: a check failed, so the figures mean nothing.
        RuntimeError: one of PostgreSQL's programs failed.
    """
    try:
        programs, user = find_programs(), _server_user()
    except Unavailable as reason:
        return {"skipped": str(reason)}
    with tempfile.TemporaryDirectory(prefix="counterfoil-postgres-") as name:
        folder = Path(name)
        for source in [*SOURCES.glob("*.sql"), *SOURCES.glob("*.pgbench")]:
            shutil.copyfile(source, folder / source.name)
            (folder / source.name).chmod(0o644)
        if user is not None:
            shutil.chown(folder, user, user)
        cluster = Cluster(programs, folder, user)
        with cluster.serving(PREPARING_S_MAX + seconds + in_place_s):
            figures = _measure_variant(cluster, "appending", seconds, clients, members)
            in_place = _measure_variant(cluster, "in_place", in_place_s, clients, members)
            version = cluster.sql("postgres", "--command=SHOW server_version")
    return {**figures, "in_place_tps": in_place["tps"], "version": version}


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs, installing them where that is possible.

    Raises:
        Unavailable: there are none, and they could not be installed.
    """
    found = _newest_programs()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            check=False,
        )
        found = _newest_programs()
    if found is None:
        raise Unavailable("PostgreSQL is not installed and could not be installed here.")
    return found


def _newest_programs() -> Path | None:
    """Return the first folder with all the programs: Debian's, newest first, then PATH's."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    folders += [Path(folder) for folder in os.get_exec_path()]
    complete = (f for f in folders if all((f / program).is_file() for program in PROGRAMS))
    return next(complete, None)


def _server_user() -> str | None:
    """Return the user to run the server as; None is our own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise Unavailable("There is no user postgres, and root may not run the server.") from None


def _measure_variant(
    cluster: Cluster, variant: str, seconds: int, clients: int, members: int
) -> dict[str, float | int]:
    """Make a database, load it, warm it up, measure it, check its books."""
    cluster.sql("postgres", f"--command=CREATE DATABASE {variant}")
    terminals = clients * TERMINALS_PER_CLIENT
    files = [f"--file={file}" for file in VARIANTS[variant]]
    cluster.sql(variant, *files, members=members, terminals=terminals)
    cluster.sql(variant, "--command=VACUUM ANALYZE", "--command=CHECKPOINT")
    options = (f"--client={clients}", f"--define=members={members}", variant)
    warmed = _pgbench(cluster, "--define=call=0", f"--time={WARM_UP_S}", *options)
    cluster.sql(variant, "--command=VACUUM ANALYZE")  # plans must know that `entry` grows
    first = f"--define=call={MEASURED_FROM_CALL}"
    figures = _pgbench(cluster, first, f"--time={seconds}", *options)
    calls = int(warmed["transactions"] + figures["transactions"])
    _check(cluster.sql(variant, "--file=checks.sql", transactions=calls))
    if variant == "in_place":
        _check(cluster.sql(variant, "--file=checks_in_place.sql"))
    return figures


def _pgbench(cluster: Cluster, *options: str) -> dict[str, float | int]:
    """Run the mix once; return its figures."""
    latencies = ("--log", "--log-prefix=latency", f"--sampling-rate={LATENCY_SAMPLE}")
    output = cluster.run(
        "pgbench", "--no-vacuum", "--username=postgres", "--protocol=prepared",
        f"--jobs={THREADS}", *MIX, *latencies, *options,
    )  # fmt: skip
    failed = _figure(r"number of failed transactions: (\d+)", output)
    if failed:
        raise BooksWrong(f"{failed:.0f} calls failed")
    return {
        "tps": round(_figure(r"tps = ([\d.]+)", output)),
        "transactions": int(_figure(r"actually processed: (\d+)", output)),
        "latency_ms": _figure(r"latency average = ([\d.]+)", output),
        **_read_latencies(cluster.folder).summary(),
    }


def _figure(pattern: str, output: str) -> float:
    match = re.search(pattern, output)
    if match is None:
        raise RuntimeError(f"pgbench did not print {pattern!r}")
    return float(match[1])


def _read_latencies(folder: Path) -> Latencies:
    """Read and remove pgbench's logs: a line's third word is a latency in microseconds."""
    latencies = Latencies()
    for log in folder.glob("latency.*"):
        with log.open() as lines:
            for line in lines:
                latencies.record(int(line.split()[2]) * 1000)
        log.unlink()
    return latencies


def _check(rows: str) -> None:
    """Raise BooksWrong for each check that found faults; rows are `name|faults`."""
    results = [row.rsplit("|", 1) for row in rows.splitlines()]
    wrong = [f"{name}: {faults} faults" for name, faults in results if faults != "0"]
    if wrong or not results:
        raise BooksWrong("; ".join(wrong) or "no check was made")


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="the same ledger in PostgreSQL, under pgbench")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--members", type=int, default=100_000)
    options = parser.parse_args()
    print(json.dumps(measure(options.seconds, options.clients, options.members), indent=2))


if __name__ == "__main__":
    main()
