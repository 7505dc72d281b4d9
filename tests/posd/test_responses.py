"""The table from reasons to the wire."""

import pytest

from engine.reasons import UNSTORED, Reason
from posd.responses import BY_NUMBER, FAULTS, RESPONSES

# Section 7 of the protocol.
CODES = {
    *("00", "03", "12", "13", "14", "22", "25", "30", "34", "40", "41", "51", "54", "55", "57"),
    *("58", "61", "62", "64", "65", "68", "75", "76", "77", "78", "79", "80", "91", "94", "95"),
    *("96", "97", "99", "A0"),
}
# Section 6, rule 2: not stored, so that the identity stays free.
FREE = {"97", "58", "03", "77", "A0", "30", "12", "40", "99", "22", "91", "94", "96"}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_code_of_the_protocol_and_says_why(reason):
    code, text = RESPONSES[reason]
    assert code in CODES
    assert BY_NUMBER[int(reason)] == (code, text)
    assert (code == "00") == (not text)


@pytest.mark.parametrize("text", [text for _, text in (*RESPONSES.values(), *FAULTS)])
def test_a_text_fits_a_till_s_display(text):
    assert len(text) <= 25
    assert text.isascii()
    assert text == text.upper().strip()


def test_what_is_stored_and_what_is_not():
    stored = {RESPONSES[reason][0] for reason in Reason if reason not in UNSTORED}
    # 12 is both: the function itself is free, an original that cannot be undone is told again.
    assert stored & FREE == {"12"}
    assert {RESPONSES[reason][0] for reason in UNSTORED} - FREE == {"00"}
    assert all(code in FREE | {"34"} for code, _ in FAULTS)


def test_approvals_are_two_reasons_only():
    assert [reason for reason in Reason if RESPONSES[reason][0] == "00"] == [
        Reason.APPROVED,
        Reason.UNCHANGED,
    ]
