"""The code of a coupon told again: the same one, counted, and as an image."""

import stat

from engine import codes
from engine.directory import open_vault
from ledger import schema
from ledger.tables import Snapshot
from tests.tools.conftest import HOTEL, must, run, write_lines

CAMPAIGN = {"type": "campaign", "id": "SPRING10", "kind": "amount_off", "face_fen": 1000}
CAMPAIGN |= {"from": "2020-01-01", "to": "2120-12-31", "state": "live"}
CAMPAIGN |= {"funders": {HOTEL: "1/1"}}


def test_a_code_is_told_again_and_drawn(loaded, tmp_path):
    must("load", loaded, write_lines(loaded.with_name("campaigns.jsonl"), [CAMPAIGN]))
    members = tmp_path / "vips.txt"
    members.write_text("M0000001\n")
    must("issue", loaded, "coupons", "--campaign", "SPRING10", "--members", members)
    with Snapshot(loaded) as snapshot:
        claim = snapshot.sequence
        while snapshot.view.get(schema.entry(claim)).kind != "coupon grant":
            claim -= 1
    who = ("--by", "clerk", "--reason", "lost")
    code = must("coupon", loaded, "resend", claim, *who).strip()
    assert code == codes.Codes(open_vault(loaded, None), codes.LENGTH).make(1, 1, 1)[0]
    for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        image = tmp_path / f"code.{suffix}"
        told = must("coupon", loaded, "resend", claim, *who, "--qr", image)
        assert code not in told
        assert image.read_bytes().startswith(start)
        assert stat.S_IMODE(image.stat().st_mode) == 0o600
    assert run("coupon", loaded, "resend", claim, *who, "--qr", tmp_path / "x.gif").exit_code == 2
    assert must("coupon", loaded, "resend", claim, *who).strip() == code
    assert must("coupon", loaded, "resend", claim, *who).strip() == code
    refused = run("coupon", loaded, "resend", claim, *who)
    assert refused.exit_code == 1
    assert "5 times, which is the most" in refused.output
    assert run("coupon", loaded, "resend", 1, *who).exit_code == 1
    journal = b"".join(path.read_bytes() for path in (loaded / "journal").iterdir())
    assert code.encode() not in journal
