"""One directory has one writer: a second daemon is refused, commands go through the first."""

import json

from daemon_process import must_fail, reference

from tests.independent.conftest import card_number, must


def test_a_second_daemon_on_the_same_directory_is_refused(daemon, traffic):
    daemon.start()
    traffic.sign_on(daemon.address)
    traffic.note(traffic.run(daemon.address, traffic.ask(100)))
    assert "is in use by another process" in must_fail(daemon.refused_start())
    traffic.settle(daemon.address, 100)
    assert daemon.stop() == 0
    daemon.digest()


def test_data_is_loaded_through_the_running_daemon_while_it_works(daemon, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    lines, _ = reference(0, 60)
    new = [line for line in lines if line["type"] in {"member", "balance"}]
    file = tmp_path / "more.jsonl"
    file.touch(mode=0o600)
    file.write_text("".join(json.dumps(line) + "\n" for line in new))
    loaded = []

    def load(count):
        if count > 100 and not loaded:
            loaded.append(must(daemon.run("load", daemon.directory, file)))
        return False

    traffic.note(traffic.run(daemon.address, traffic.ask(600), load))
    assert "loaded 72, unchanged 48, rejected 0" in loaded[0]
    shown = json.loads(
        must(daemon.run("show", daemon.directory, "card", card_number(60), "--json"))
    )
    assert shown["member"]["id"] == "M0000060"
    assert not traffic.open_requests()
    assert traffic.balances(daemon.address) == traffic.expected()
