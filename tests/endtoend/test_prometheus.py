"""A real Prometheus scrapes the daemon while terminals trade, and evaluates the alert rules."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from daemon_process import until

from tests.posd.test_ops import OPS
from tests.prometheus_package import program

REQUESTS = 400


class Prometheus:
    """A server of its own with one daemon to scrape, each second."""

    def __init__(self, folder, target):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        text = (OPS / "prometheus.yml").read_text().replace("15s", "1s")
        configuration = folder / "prometheus.yml"
        configuration.write_text(text.replace("127.0.0.1:9583", f"{target[0]}:{target[1]}"))
        (folder / "alerts.yml").write_bytes((OPS / "alerts.yml").read_bytes())
        command = [
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def ask(self, path, **query):
        """The data of an answer of its HTTP interface; None while it cannot be had."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def value(self, query):
        """The one value of an expression now, None when there is none."""
        told = self.ask("query", query=query)
        return float(told["result"][0]["value"][1]) if told and told["result"] else None

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def prometheus(tmp_path):
    started = []

    def start(target):
        folder = tmp_path / "prometheus"
        folder.mkdir()
        started.append(Prometheus(folder, target))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_it_scrapes_under_load_and_sees_what_the_daemon_tells(daemon, traffic, prometheus):
    daemon.start()
    server = prometheus(daemon.metrics)
    traffic.sign_on(daemon.address)
    until(lambda: server.value("up"), "the daemon was never scraped")
    traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS)))
    assert sum(reply.code == "00" for reply in traffic.told.values()) > REQUESTS // 2
    told = [line for line in daemon.page("metrics")[1].splitlines() if "_replies_total{" in line]
    whole = sum(float(line.split()[-1]) for line in told)
    assert whole > REQUESTS
    seen = "sum(counterfoil_replies_total)"
    until(lambda: server.value(seen) == whole, "what the daemon tells is not what it saw")
    assert server.value("count(counterfoil_reply_seconds_bucket)") > 10
    until(lambda: server.value("counterfoil_follower_folds_total"), "no fold was told")
    groups = server.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    until(
        lambda: all(
            rule["health"] == "ok"
            for group in server.ask("rules")["groups"]
            for rule in group["rules"]
        ),
        "a rule cannot be evaluated over what the daemon tells",
    )
    assert len(rules) > 20
    firing = [one["labels"]["alertname"] for one in server.ask("alerts")["alerts"]]
    assert "CounterfoilRefusing" not in firing
    daemon.terminate()
    assert daemon.wait() == 0
    until(lambda: server.value("up") == 0, "the end of the daemon was not seen")
