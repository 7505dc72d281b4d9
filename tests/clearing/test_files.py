"""What the files of a day look like to those who open them."""

import csv
import hashlib
import io
import os
import re
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
import sample_day
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from clearing import model
from clearing.files import details, figures, lists, payments, settlement, statement, summary
from clearing.files.folder import Refused
from clearing.files.writing import chunks_of, write_set
from tests.clearing.readers import official_schema, page_of

LAKESIDE = "104110045110012"


def columns_of(record: bytes) -> dict[str, str]:
    """A record's columns by name, read by the documented widths."""
    kind = record[:2].decode()
    found, place = {}, 0
    for column in settlement.LAYOUT[kind]:
        found[column.name] = record[place : place + column.width].decode()
        place += column.width
    assert place == len(record)
    return found


@pytest.fixture
def written(tmp_path):
    day, kept = sample_day.small()
    write_set(day, kept, tmp_path / "set", workers=0)
    return day, tmp_path / "set"


def named(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_settlement_file_adds_up_record_by_record(written):
    day, folder = written
    data = named(folder, "settlement-*.txt").read_bytes()
    records = [columns_of(record) for record in data.removesuffix(b"\n").split(b"\n")]
    assert [record["type"] for record in records[:6]] == ["00", "10", "20", "20", "20", "20"]
    assert records[0]["operator"].rstrip() == "冀旅联盟 Jilv Alliance"
    assert records[1]["name"].rstrip() == "湖畔酒店 Lakeside Hotel"
    legs = [
        int(record[f"amount {number}"])
        for record in records
        if record["type"] == "20"
        for number in range(1, 7)
    ]
    trailer = records[-1]
    assert int(trailer["records"]) == len(records)
    assert int(trailer["details"]) == 8
    assert int(trailer["parties"]) == len(day.parties) == 5
    assert int(trailer["net"]) == sum(legs) == sum(party.net for party in day.parties)
    assert int(trailer["hash total"]) == sum(range(100, 108))
    assert trailer["digest"] == hashlib.sha256(data[:-65]).hexdigest()


def test_an_empty_day_has_a_settlement_file_too(tmp_path):
    day = sample_day.day_of((), movements=())
    write_set(day, sample_day.Kept(()), tmp_path / "set", workers=0)
    data = named(tmp_path / "set", "settlement-*.txt").read_bytes()
    kinds = [record[:2] for record in data.splitlines()]
    assert kinds == [b"00", b"90"]


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"terminal": "123456789"}, "terminal"),
        ({"points": 10**13}, "points"),
        ({"rrn": "1234\n5678"}, "rrn"),
        ({"money": ((model.FEE, 10**13),)}, "amount 1"),
    ],
)
def test_what_does_not_fit_its_column_stops_the_file_and_is_named(changed, column):
    with pytest.raises(settlement.Unwritable, match=column) as refusal:
        settlement.detail(sample_day.line(LAKESIDE, 7, **changed))
    assert "entry 7" in str(refusal.value)


@given(st.text(), st.integers(1, 60))
def test_texts_fill_their_column_to_the_byte_and_lose_no_half_character(text, width):
    fitted = settlement.fit(text, width)
    assert len(fitted.encode()) == width
    assert fitted.isprintable()


@pytest.mark.parametrize("encoding", details.ENCODINGS)
def test_csv_comes_back_whole_in_both_encodings(tmp_path, encoding):
    day, kept = sample_day.small()
    write_set(day, kept, tmp_path / "set", workers=0, encoding=encoding)
    path = tmp_path / "set" / "details" / f"details-20261122-01-{LAKESIDE}.csv"
    with path.open(encoding=encoding, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Sequence 流水号"].strip("\t") for row in rows] == ["100", "101", "103", "104"]
    assert rows[0]["Terminal 终端号"] == "\t00000001"
    assert rows[0]["10 Points issued (funding) 积分发放资金"] == "-1.23"
    assert rows[3]["Remark 备注"] == "'=1+1 更正"
    nets = [figures.fen_of(row["Net yuan 净额"]) for row in rows]
    assert sum(nets) == day.parties[0].net
    if encoding == "utf-8-sig":
        assert path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_no_identifier_is_a_number_to_a_spreadsheet_and_no_text_a_formula():
    names = {"sequence": 123456789012345678, "original": 44, "text": "+cmd|' /C calc'!A0"}
    cells = details.row(sample_day.line(LAKESIDE, **names))
    for place in (0, 1, 4, 5, 6, 7, 13, 14):
        assert re.fullmatch("\t.+", cells[place])
    assert cells[-1].startswith("'+cmd")


@given(st.text(max_size=20))
def test_free_text_never_begins_like_a_formula(text):
    assert not details.free_text(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_lists_name_who_owes_who_is_not_paid_and_what_differs():
    day, _ = sample_day.small()
    for write, count, expected in (
        (lists.write_exceptions, 1, "only-there"),
        (lists.write_unpaid, 1, "104110045110015"),
        (lists.write_collections, 1, "400.00"),
    ):
        stream = io.StringIO(newline="")
        assert write(day, stream) == count
        assert expected in stream.getvalue()
    stream = io.StringIO(newline="")
    lists.write_exceptions(day, stream)
    assert "'=HYPERLINK(1)" in stream.getvalue()
    assert "-10.50" in stream.getvalue()


def test_nobody_is_paid_while_the_operator_has_no_account():
    day, _ = sample_day.small()
    day = replace(day, operator=replace(day.operator, account_number=""))
    paid, unpaid = lists.credits_of(day)
    assert not paid
    assert [party.id for party in unpaid] == [LAKESIDE, "104110045110015"]
    with pytest.raises(ValueError, match="no party"):
        payments.write(day, io.BytesIO())


def test_workbook_totals_are_values_and_equal_their_sums(written):
    day, folder = written
    book = openpyxl.load_workbook(named(folder, "summary-*.xlsx"))
    assert [sheet.title.split()[0] for sheet in book] == [
        *("Summary", "Parties", "Points", "Matrix"),
        *("Programs", "Channels", "Fees", "Exceptions"),
    ]
    sheet = book["Parties 商户"]
    heads = [cell.value for cell in sheet[1]]
    assert sheet.freeze_panes == "B2"
    rows = list(sheet.iter_rows(min_row=2, values_only=True))
    assert rows[-1][0] == "Total 合计"
    for name in ("Debit 借方", "Credit 贷方", "Net 净额", "Payable 应付金额", "Collect 应收金额"):
        at = heads.index(name)
        total = sum(round(row[at] * 100) for row in rows[:-1])
        assert round(rows[-1][at] * 100) == total
    net = heads.index("Net 净额")
    assert [round(row[net] * 100) for row in rows[:-1]] == [party.net for party in day.parties]
    assert sheet.cell(2, net + 1).number_format.startswith("#,##0.00")
    assert sheet["B6"].value == "Shop SPONSOR-1"
    assert sheet["B5"].value == "+Garden"
    assert all(cell.data_type != "f" for each in book for row in each for cell in row)
    summed = {row[0]: row[1] for row in book["Summary 汇总"].iter_rows(values_only=True)}
    assert round(summed["Net 净额"] * 100) == sum(party.net for party in day.parties)


@given(st.integers(-model.FEN_MAX, model.FEN_MAX))
def test_amounts_come_back_from_the_spelling_of_workbook_and_csv(fen):
    assert figures.fen_of(figures.yuan(fen)) == fen
    assert f"{figures.exact_yuan(fen):.16G}" == figures.yuan(fen)


def test_a_table_longer_than_a_sheet_continues_on_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "ROWS_MAX", 2)
    day, _ = sample_day.small()
    summary.write(day, tmp_path / "book.xlsx", tmp_path)
    book = openpyxl.load_workbook(tmp_path / "book.xlsx")
    pages = [sheet for sheet in book if sheet.title.startswith("Parties")]
    names = [cell.value for sheet in pages for cell in sheet["A"][1:]]
    assert names == [*(party.id for party in day.parties), "Total 合计"]


def test_statement_is_one_page_that_says_what_is_paid_in_both_languages(written):
    day, folder = written
    text = page_of(folder / "statements" / f"statement-20261122-01-{LAKESIDE}.pdf")
    party = day.parties[0]
    for expected in (
        *("结算单", "Settlement statement", "湖畔酒店 Lakeside Hotel", LAKESIDE, "2026-11-22"),
        *("应付金额 Payable", "积分消费结算", "净额构成", figures.grouped_yuan(party.payable)),
    ):
        assert expected in text
    assert party.account_number not in text
    assert party.account_number[-4:] in text


def test_statement_tells_who_has_to_pay_and_who_cannot_be_paid(written):
    _, folder = written
    owing = page_of(folder / "statements" / "statement-20261122-01-SPONSOR-1.pdf")
    assert "应收金额 To be collected" in owing
    unpaid = page_of(folder / "statements" / "statement-20261122-01-104110045110015.pdf")
    assert "Not paid: an account is missing" in unpaid


def statement_of(party, folder):
    path = folder / "page.pdf"
    with path.open("wb") as stream:
        statement.write(sample_day.day_of((party,)), party, stream)
    return page_of(path)


def test_whatever_the_rules_take_a_fee_on_has_a_chinese_name_in_statement_and_workbook(tmp_path):
    rules = (Path(__file__).parents[2] / "engine" / "rules").glob("*.py")
    posted = {
        kind
        for path in rules
        for kind in re.findall(r'post_fee\(draft, "(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert posted == model.FEE_KINDS.keys()
    fees = tuple((kind, 100 + place) for place, kind in enumerate(sorted(posted)))
    party = sample_day.fold(LAKESIDE, (), fees=fees)
    text = statement_of(party, tmp_path)
    for kind, fen in fees:
        assert re.search(rf"{model.FEE_KINDS[kind]}\s+{kind}\s+{figures.yuan(fen)}", text)
    summary.write(sample_day.day_of((party,)), tmp_path / "book.xlsx", tmp_path)
    rows = openpyxl.load_workbook(tmp_path / "book.xlsx")["Fees 手续费"].iter_rows(values_only=True)
    assert [row[2] for row in rows][1:-1] == [f"{k} {model.FEE_KINDS[k]}" for k, _ in fees]


def test_a_long_name_takes_neither_the_digits_of_the_account_nor_the_id_from_the_page(tmp_path):
    party = sample_day.fold(
        "W" * 32, (), account_name="很长的名字" * 20, account_number="62170000123"
    )
    text = statement_of(party, tmp_path)
    assert "W" * 32 in text
    assert re.search(r"很长的名字.*\.\.\.\s+\*{4}0123", text)


def test_the_fullest_page_has_room_for_every_heading(tmp_path):
    amounts = tuple(model.Amount(each.code, 10**9, 10**12, 0) for each in model.HEADINGS)
    debit = 10**12 * len(amounts)
    points = tuple(model.PointsTotal(f"P{n:02d}", 10**12, 10**12) for n in range(1, 10))
    party = sample_day.fold(
        LAKESIDE,
        (),
        amounts=amounts,
        points=points,
        debit=debit,
        net=-debit,
        carried_forward=-debit,
        name="很长的名字" * 30,
    )
    text = statement_of(party, tmp_path)
    assert all(each.chinese in text for each in model.HEADINGS)
    assert "4 more in the summary" in text


def test_payment_file_pays_each_credit_once_and_its_sums_agree(written):
    day, folder = written
    data = named(folder, "payments-*.xml").read_bytes()
    wrong, paid = payments.check(data)
    assert not wrong
    assert paid == {f"CF20261122-01-{LAKESIDE}": day.parties[0].payable}
    root = etree.fromstring(data)
    space = {"p": payments.NAMESPACE}
    assert root.findtext(".//p:ReqdExctnDt/p:Dt", namespaces=space) == "2026-11-23"
    assert root.findtext(".//p:CdtrAgt//p:MmbId", namespaces=space) == "105121000013"
    assert root.findtext(".//p:DbtrAcct//p:Id/p:Othr/p:Id", namespaces=space)
    assert payments.parse_end_to_end_id(next(iter(paid))) == (20261122, 1, LAKESIDE)


@pytest.mark.parametrize("bank_code", ["105121000013", "ICBKCNBJ", "ICBKCNBJBJM", "0105"])
def test_payment_file_keeps_to_the_official_schema(bank_code):
    party = sample_day.fold(
        "S" * 32,
        (sample_day.redemption("S" * 32, 1, 10**9),),
        account_name="很长的名字 & <Söhne> \x07" * 20,
        account_number="6" * 34,
        bank_code=bank_code,
    )
    day = sample_day.day_of((sample_day.small()[0].parties[0], party), run=9999)
    stream = io.BytesIO()
    count, total = payments.write(day, stream)
    assert (count, total) == (2, sum(each.payable for each in day.parties))
    official_schema().assertValid(etree.fromstring(stream.getvalue()))
    wrong, paid = payments.check(stream.getvalue())
    assert not wrong
    assert sum(paid.values()) == total


@given(st.integers(1, 9999), st.from_regex(model.PARTY_ID, fullmatch=True))
def test_every_payment_has_a_name_that_banks_take_and_that_leads_back(run, party):
    name = payments.end_to_end_id(20261122, run, party)
    assert len(name) <= 35
    assert payments.parse_end_to_end_id(name) == (20261122, run, payments.short_party(party))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((b"<NbOfTxs>1<", b"<NbOfTxs>2<"), "NbOfTxs says 2, there are 1 transfers"),
        ((b"<ChrgBr>DEBT</ChrgBr>", b""), "PmtInf has 0 of ChrgBr"),
        ((b'Ccy="CNY"', b'Ccy="USD"'), "InstdAmt has other attributes"),
        ((b"<PmtMtd>TRF<", b"<PmtMtd>CHK<"), "PmtMtd does not have the form"),
        ((b"<InstrId>", b"<UETR/><InstrId>"), "PmtId has"),
        ((b"pain.001.001.09", b"pain.001.001.03"), "its root is not Document"),
        ((b"?>\n", b"?>\n<!DOCTYPE Document>"), "document type"),
        ((b"</Document>", b""), "is no XML document"),
    ],
)
def test_structural_check_names_what_is_wrong_with_a_payment_file(written, change, sentence):
    _, folder = written
    data = named(folder, "payments-*.xml").read_bytes()
    assert change[0] in data
    wrong, _ = payments.check(data.replace(*change))
    assert any(sentence in each for each in wrong), wrong


def test_a_set_written_again_is_the_same_to_the_byte_however_it_is_divided(tmp_path, monkeypatch):
    day, kept = sample_day.small()
    write_set(day, kept, tmp_path / "one", workers=0)
    monkeypatch.setattr("clearing.files.writing.CHUNK_WORK", 1)
    assert len(chunks_of(day)) == 5
    done = []
    write_set(day, kept, tmp_path / "two", workers=2, progress=lambda *at: done.append(at))
    assert done[-1] == (6, 6)
    write_set(day, kept, tmp_path / "two", workers=0)

    def contents(folder):
        return {
            path.relative_to(folder): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in folder.rglob("*")
            if path.is_file()
        }

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_half_written_set_is_completed_and_a_stranger_is_left_alone(tmp_path):
    day, kept = sample_day.small()
    folder = tmp_path / "set"
    write_set(day, kept, folder, workers=0)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "manifest.json").unlink()
    (folder / ".parts").mkdir()
    (folder / ".parts" / "000000").write_bytes(b"half")
    (folder / "details" / f".tmp-77-details-20261122-01-{LAKESIDE}.csv").write_bytes(b"half")
    named(folder, "settlement-*.txt").write_bytes(b"half")
    write_set(day, kept, folder, workers=0)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == whole
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Refused, match=r"notes\.txt"):
        write_set(day, kept, folder, workers=0)
    assert (folder / "manifest.json").exists()


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def test_a_set_killed_at_any_sync_is_finished_by_writing_it_again(tmp_path, monkeypatch):
    day, kept = sample_day.small()
    write_set(day, kept, tmp_path / "whole", workers=0)

    def contents(folder):
        return {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    whole, fsync = contents(tmp_path / "whole"), os.fsync
    folder = tmp_path / "set"
    for step in range(1000):
        left = [step]

        def failing(descriptor, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            fsync(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", failing)
            try:
                write_set(day, kept, folder, workers=0)
            except Killed:
                if step and (folder / "manifest.json").exists():
                    assert contents(folder) == whole  # only the last sync of the folder was missing
            else:
                break
        if step % 5 == 0:
            write_set(day, kept, folder, workers=0)
            assert contents(folder) == whole
    assert 15 < step < 1000
    assert contents(folder) == whole


def test_bank_accounts_are_for_the_owner_only(written):
    _, folder = written
    assert named(folder, "payments-*.xml").stat().st_mode & 0o777 == 0o600
    assert named(folder, "settlement-*.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("place", "lines"),
    [
        (0, ()),
        (1, (sample_day.line("104110045110013", 102),)),
        (2, (sample_day.line("104110045110014", 109),)),
        (3, (sample_day.redemption("104110045110015", 107, 600),)),
    ],
)
def test_lines_that_differ_from_the_netted_figures_stop_the_set(tmp_path, place, lines):
    day, kept = sample_day.small()
    parts = list(kept.of)
    parts[place] = lines
    with pytest.raises(model.Inconsistent, match=day.parties[place].id):
        write_set(day, sample_day.Kept(tuple(parts)), tmp_path / "set", workers=0)
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_lines_out_of_order_stop_the_set(tmp_path):
    day, kept = sample_day.small()
    parts = list(kept.of)
    parts[0] = parts[0][::-1]
    with pytest.raises(model.Inconsistent, match="out of order"):
        write_set(day, sample_day.Kept(tuple(parts)), tmp_path / "set", workers=0)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"net": 1}, "net is 1"),
        ({"payable": 5}, "carried"),
        ({"id": "../etc"}, "characters"),
        ({"kind": "friend"}, "kind of party"),
    ],
)
def test_a_party_whose_figures_disagree_is_refused_before_any_file(changed, sentence):
    day, _ = sample_day.small()
    parties = (replace(day.parties[0], **changed), *day.parties[1:])
    with pytest.raises(model.Inconsistent, match=sentence):
        model.check_day(replace(day, parties=parties))


def test_a_day_whose_check_fails_or_does_not_sum_to_zero_is_refused():
    day, _ = sample_day.small()
    with pytest.raises(model.Inconsistent, match="check fund: 4 where 3 is expected"):
        model.check_day(replace(day, checks=(model.Check("fund", 3, 4),)))
    with pytest.raises(model.Inconsistent, match="operator's own accounts moved 0"):
        model.check_day(replace(day, movements=()))


def test_the_document_has_every_column_where_the_file_has_it():
    text = (Path(__file__).parents[2] / "clearing" / "FILES.md").read_text()
    for kind, columns in settlement.LAYOUT.items():
        table = text.split(f"### `{kind}` ")[1].split("###")[0]
        place = 1
        for column in columns:
            assert f"\n| {place} | {column.width} | {column.form} | {column.name} |" in table
            place += column.width
        assert f": {place - 1} bytes" in table
    for heading in model.HEADINGS:
        assert f"| {heading.code} | {heading.english} | {heading.chinese} |" in text
