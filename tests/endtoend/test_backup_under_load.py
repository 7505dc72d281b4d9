"""A backup under load, restored elsewhere: the same digest at the same entry, and it serves."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

from tests.independent.conftest import must

REQUESTS = 300


def under_load(daemon, traffic, *arguments):
    """Run a command while the tills go on until it is done, and once more; what it prints."""
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(daemon.run, *arguments)
        while not running.done():
            traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS)))
        traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS)))
        return json.loads(must(running.result()))


def test_a_backup_under_load_is_restored_and_served_elsewhere(
    daemon, traffic, tmp_path, fresh_daemon
):
    daemon.limit(segment_bytes=1 << 19, fold_seconds=0.05)
    daemon.start()
    traffic.sign_on(daemon.address)
    files = [tmp_path / "full", tmp_path / "more"]
    made = [under_load(daemon, traffic, "backup", daemon.directory, files[0], "--tables", "--json")]
    early = traffic.asked[:REQUESTS]
    more = ("backup", daemon.directory, files[1], "--since", files[0], "--json")
    made.append(under_load(daemon, traffic, *more))
    assert [one["since"] for one in made] == [0, made[0]["sequence"]]
    assert not traffic.open_requests()
    assert daemon.stop() == 0
    end = json.loads(must(daemon.run("verify", daemon.directory, "--json")))
    assert made[0]["sequence"] < made[1]["sequence"] < end["sequence"]
    # The digest that a replay of the commands comes to is the one noted under load.
    (tmp_path / "there").mkdir()
    there = fresh_daemon(tmp_path / "there")
    for number in (1, 2):
        shutil.rmtree(there.directory)
        text = must(there.run("restore", *files[:number], there.directory, "--json"))
        done = json.loads(text)
        assert done["compared"]
        assert done["sequence"] == made[number - 1]["sequence"]
        assert done["digest"] == made[number - 1]["digest"]
        checked = json.loads(must(there.run("verify", there.directory, "--json")))
        assert checked["ok"]
        assert checked["digest"] == made[number - 1]["digest"]
    assert there.replayed_digest(tmp_path / "again") == made[1]["digest"]
    # The tills' keys are there, and a repeat is answered as the original daemon answered it.
    there.start()
    traffic.check_repeats(there.address, early)
    assert there.metric("_sequence") > made[1]["sequence"]
    assert there.stop() == 0
    must(daemon.run("verify", daemon.directory, "--against", files[1]))
