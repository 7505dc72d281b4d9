"""The page of worked examples says what the host does now, and misses no kind of message."""

import re

from posd.iso8583.describe import HIDDEN, describe
from tests.posd.conversation import Conversation
from tests.posd.vendor_examples import AES, DOCUMENT, OTHERS, document, frames

TOLD = DOCUMENT.read_text(encoding="utf-8")


def test_the_page_is_current():
    assert document() == TOLD, "write it anew: python -m tests.posd.vendor_examples"


def test_there_is_an_example_of_each_message_type():
    talk = Conversation()
    kinds = {sent[13:15].hex() for _, sent, _ in frames(talk, AES)}
    wanted = {"0800", "0820", "0100", "0200", "0201", "0220", "0320", "0400", "0500", "0600"}
    assert kinds == wanted


def test_every_frame_of_the_page_is_understood_and_masked():
    blocks = re.findall(r"```\n([0-9a-f\n]+)```", TOLD)
    assert len(blocks) == 2 * (len(AES) + 2 * len(OTHERS))
    for block in blocks:
        rows = describe(bytes.fromhex(block.replace("\n", "")), "utf-8")
        assert not [row for row in rows if row.number.endswith("!")]
        assert all(row.meaning.startswith(HIDDEN) for row in rows if row.number in {"64", "110"})
