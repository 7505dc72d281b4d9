"""The page of worked examples says what the host does now, and misses nothing of the protocol."""

import re
from collections import Counter

import pytest

from posd import bindings, responses
from posd.iso8583.describe import describe
from posd.iso8583.spec import TAGS
from posd.iso8583.tlv import parse_tlv
from tests.posd.vendor_declines import ADVICE, NEVER_SHOWN
from tests.posd.vendor_examples import (
    DOCUMENT,
    ENVELOPE,
    document,
    exchanges,
    messages,
    shows,
    undone,
)
from tests.posd.vendor_stage import ROWS

TOLD = DOCUMENT.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n([0-9a-f\n]+)```(?:\n\n((?:\|.*\n)+))?", TOLD)


@pytest.fixture(scope="module")
def said():
    return messages(exchanges())


def test_the_page_is_current():
    assert document() == TOLD, "write it anew: python -m tests.posd.vendor_examples"


def test_each_line_of_section_4_has_an_example_field_by_field(said):
    whole = [one for one in said if not one.example.brief]
    missing = [row.transaction for row in ROWS if not any(shows(row, one) for one in whole)]
    assert not missing


def test_each_way_to_undo_has_an_example(said):
    missing = [
        f"{row.transaction}: {way}"
        for row in ROWS
        for way in sorted(set(row.undo) - undone(row, said).keys())
    ]
    assert not missing


def test_each_message_that_the_host_binds_is_a_line_of_the_table():
    lines = {
        id(bindings.find(row.mti, (row.functions[0] or "??")))
        for row in ROWS
        if row.mti not in {"080", "082"}
    }
    missing = [key for key, row in bindings.BINDINGS.items() if id(row) not in lines]
    assert not missing


def test_each_response_code_has_an_example_and_advice(said):
    codes = {code for code, _ in (*responses.RESPONSES.values(), *responses.FAULTS)}
    assert codes == ADVICE.keys()
    assert codes - {one.reply[39] for one in said} == NEVER_SHOWN.keys()


def test_each_element_of_field_48_has_an_example(said):
    shown = set()
    for one in said:
        for fields in (one.request, one.reply):
            shown |= dict(parse_tlv(fields.get(48, b""), repeats_allowed=True)).keys()
    assert TAGS.keys() - shown == set()


def test_every_frame_of_the_page_is_understood(said):
    assert len(BLOCKS) == 2 * len(said)
    for block, _ in BLOCKS:
        rows = describe(bytes.fromhex(block.replace("\n", "")), "utf-8")
        assert not [row for row in rows if row.number.endswith("!")]


def test_the_parts_of_a_table_are_the_whole_frame():
    tables = 0
    for block, table in BLOCKS:
        parts = re.findall(r"^\| (\d+) \| `([0-9a-f]*)` \|", table, re.MULTILINE)
        digits = "".join(part for at, part in parts if int(at) >= ENVELOPE)
        if table:
            tables += 1
            assert digits == block.replace("\n", "")[2 * ENVELOPE :]
    assert tables > 2 * len(ROWS)


def test_a_link_of_the_page_leads_to_one_heading():
    titles = re.findall(r"^###? (.+)$", TOLD, re.MULTILINE)
    headings = Counter(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)
    links = set(re.findall(r"\]\(#([^)]+)\)", TOLD))
    assert len(links) > len(ROWS)
    assert not [link for link in links if headings[link] != 1]
