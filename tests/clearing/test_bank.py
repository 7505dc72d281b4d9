"""Confirmations of the bank, read from CSV and camt.053."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing import bank
from clearing.bank import Confirmation, Unreadable

OURS = "CF20261122-01-104110045110012"
HEADS = "end_to_end_id,amount,booked,status,reason\r\n"


def camt(*entries, namespace="camt.053.001.08", before=""):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{namespace}"><BkToCstmrStmt><GrpHdr/>'
        f"<Stmt><Id>1</Id>{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def entry(name=OURS, amount="978.18", side="DBIT", status="<Sts><Cd>BOOK</Cd></Sts>", more=""):
    return (
        f'<Ntry><Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{status}'
        f"<BookgDt><Dt>2026-11-23</Dt></BookgDt><NtryDtls><TxDtls><Refs><EndToEndId>{name}"
        f'</EndToEndId></Refs><Amt Ccy="CNY">{amount}</Amt>{more}</TxDtls></NtryDtls></Ntry>'
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_confirms_and_refuses(encoding, tmp_path):
    text = (
        HEADS
        + f"\t{OURS},978.18,2026-11-23,confirmed,\r\n"
        + "CF20261122-01-SPONSOR-1,5,2026-11-24,refused,户名不符\r\n"
        + "SALARY-77,1.00,2026-11-23,confirmed,\r\n"
    )
    path = tmp_path / "bank.csv"
    path.write_bytes(text.encode(encoding))
    read = bank.read(path)
    assert read.found == [
        Confirmation(OURS, 97818, 20261123, "confirmed", ""),
        Confirmation("CF20261122-01-SPONSOR-1", 500, 20261124, "refused", "户名不符"),
    ]
    assert read.others == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("end_to_end_id,amount\r\n", "no column booked, status"),
        (HEADS.strip() + ",amount\r\n", "twice"),
        (HEADS + f"{OURS},1.00\r\n", "line 2 has another number of cells"),
        (HEADS + f"{OURS},1.001,2026-11-23,confirmed,\r\n", "line 2: the amount has parts"),
        (HEADS + f"{OURS},1e3,2026-11-23,confirmed,\r\n", "line 2: the amount is no amount"),
        (HEADS + f"{OURS},-1.00,2026-11-23,confirmed,\r\n", "above zero"),
        (HEADS + f"{OURS},1.00,23.11.2026,confirmed,\r\n", "like 2026-12-31"),
        (HEADS + f"{OURS},1.00,2026-02-30,confirmed,\r\n", "like 2026-12-31"),
        (HEADS + f"{OURS},1.00,2026-11-23,maybe,\r\n", "confirmed or refused"),
        (HEADS + f'"{OURS},1.00,2026-11-23,confirmed,\r\n', "not CSV"),
    ],
)
def test_csv_that_is_wrong_is_refused_whole_naming_the_line(text, sentence):
    with pytest.raises(Unreadable, match=sentence):
        bank.read_csv(text.encode())


def test_a_statement_confirms_debits_and_refuses_returns(tmp_path):
    returned = entry(
        "CF20261122-01-SPONSOR-1",
        "5.00",
        "CRDT",
        more="<RtrInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>account closed</AddtlInf></RtrInf>",
    )
    pending = entry("CF20261122-01-X", status="<Sts><Cd>PDNG</Cd></Sts>")
    foreign = entry("RENT-1", "9.00", "CRDT")
    path = tmp_path / "statement.xml"
    path.write_bytes(camt(entry(), returned, pending, foreign))
    read = bank.read(path)
    assert read.found == [
        Confirmation(OURS, 97818, 20261123, "confirmed", ""),
        Confirmation("CF20261122-01-SPONSOR-1", 500, 20261123, "refused", "account closed"),
    ]
    assert read.others == 1


def test_an_older_statement_with_a_plain_status_is_read_too():
    read = bank.read_camt(camt(entry(status="<Sts>BOOK</Sts>"), namespace="camt.053.001.02"))
    assert [each.end_to_end_id for each in read.found] == [OURS]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (camt(before='<!DOCTYPE Document [<!ENTITY x "y">]>'), "document type"),
        (camt(namespace="camt.052.001.08"), "no camt.053 statement"),
        (camt()[:-5], "well-formed"),
        (camt(entry(side="CRDT")), "entry 1: payment .* neither a debit nor a return"),
        (camt(entry(amount="1.005")), "entry 1: the amount has parts of a fen"),
        (camt(entry()).replace(b'"CNY"', b'"USD"'), "no amount in CNY"),
    ],
)
def test_a_statement_that_is_wrong_is_refused_whole(data, sentence):
    with pytest.raises(Unreadable, match=sentence):
        bank.read_camt(data)


def test_no_file_outside_is_read_by_an_entity(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("CF20261122-01-SECRET")
    before = f'<!DOCTYPE Document [<!ENTITY x SYSTEM "file://{secret}">]>'
    with pytest.raises(Unreadable) as refusal:
        bank.read_camt(camt(entry("&x;"), before=before))
    assert "SECRET" not in str(refusal.value)


def test_entities_that_grow_without_end_are_refused():
    bomb = '<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(Unreadable):
        bank.read_camt(camt(entry("&i;"), before=bomb + "]>"))


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "SIZE_MAX", 100)
    path = tmp_path / "big.csv"
    path.write_bytes(b"x" * 101)
    with pytest.raises(Unreadable, match="split it"):
        bank.read(path)


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_is_read_or_refused(data, as_statement):
    read = bank.read_camt if as_statement else bank.read_csv
    with suppress(Unreadable):
        read(camt(entry())[: 40 + len(data)] + data if as_statement else HEADS.encode() + data)
