"""A set that was tampered with is found, and told in the words of its specification."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import sample_day

from clearing.files import manifest, settlement
from clearing.files.writing import write_set
from clearing.validate import REASONS, validate

LAKESIDE = "104110045110012"
STEM = "20261122-01"
SETTLEMENT = f"settlement-{STEM}.txt"
DETAILS = f"details/details-{STEM}-{LAKESIDE}.csv"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "good"
    day, kept = sample_day.small()
    write_set(day, kept, folder, workers=0)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "set")


def reasons(folder):
    return {finding.reason for finding in validate(folder)}


def reseal(folder):
    """Make the digests right again, as somebody would who wants a change to go unnoticed."""
    path = folder / SETTLEMENT
    data = path.read_bytes()
    if data[:-65].rsplit(b"\n", 1)[-1].startswith(b"90"):
        path.write_bytes(data[:-65] + hashlib.sha256(data[:-65]).hexdigest().encode() + b"\n")
    content = json.loads((folder / "manifest.json").read_bytes())
    for each in content["files"]:
        path = folder / each["name"]
        if path.exists():
            data = path.read_bytes()
            each["size"], each["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    del content["digest"]
    (folder / "manifest.json").write_bytes(manifest.sealed(content))


def edit(path, change):
    """Change the records of a file."""
    records = path.read_bytes().removesuffix(b"\n").split(b"\n")
    path.write_bytes(b"\n".join(change(records)) + b"\n")


def column(kind, name):
    """Where a column stands in its record."""
    place = 0
    for each in settlement.LAYOUT[kind]:
        if each.name == name:
            return slice(place, place + each.width)
        place += each.width
    raise KeyError(name)


def put(kind, name, value, nth=0):
    """A change of one column in the nth record of a type."""

    def change(records):
        at = [place for place, record in enumerate(records) if record.startswith(kind.encode())]
        place, where = at[nth], column(kind, name)
        assert len(value) == where.stop - where.start
        assert records[place][where] != value
        records[place] = records[place][: where.start] + value + records[place][where.stop :]
        return records

    return change


def swapped(first, second):
    def change(records):
        records[first], records[second] = records[second], records[first]
        return records

    return change


def without(place):
    return lambda records: records[:place] + records[place + 1 :]


def test_a_good_set_has_no_findings_and_progress_ends_at_its_size(good):
    seen = []
    assert validate(good, lambda *at: seen.append(at)) == []
    assert seen[-1][0] == seen[-1][1]


def test_a_set_with_csv_in_gb18030_is_read_as_well(tmp_path):
    day, kept = sample_day.small()
    write_set(day, kept, tmp_path / "set", workers=0, encoding="gb18030")
    assert validate(tmp_path / "set") == []


def test_an_empty_day_is_a_good_set(tmp_path):
    write_set(sample_day.day_of((), movements=()), sample_day.Kept(()), tmp_path / "set", workers=0)
    assert validate(tmp_path / "set") == []


# A record's place: 0 header, 1 batch header of the hotel, 2 to 5 its details, 6 its control.
@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("layout", put("00", "layout", b"CFS9")),
        ("unknown-record", lambda records: [records[0], b"77" + records[1][2:], *records[1:]]),
        ("record-length", lambda records: [records[0] + b" ", *records[1:]]),
        ("form", put("20", "points", b" 0000000000123")),
        ("form", put("10", "name", b"\xff" * 60)),
        ("structure", without(1)),
        ("truncated", lambda records: records[:-1]),
        ("date", put("20", "date", b"20261121")),
        ("date", put("00", "value date", b"20261121")),
        ("order", swapped(3, 4)),
        ("duplicate", lambda records: [*records[:3], records[2], *records[3:]]),
        ("record-count", without(2)),
        ("record-count", put("90", "parties", b"00000004")),
        ("gross", put("20", "amount 1", b"-0000000000124")),
        ("gross", put("30", "credit", b"000000000097951")),
        ("net", put("90", "net", b"+00000000000001")),
        ("carry", put("30", "payable", b"000000000000001")),
        ("heading", put("20", "heading 2", b"61")),
        ("heading", put("31", "count", b"0000000009")),
        ("hash-total", put("30", "hash total", b"000000000000001")),
        ("manifest-totals", put("00", "considered", b"000000000000009")),
        ("payments-sums", put("30", "payable", b"000000000000001")),
        ("collections", put("30", "collect", b"000000000000001", 4)),
        ("details", put("20", "amount 1", b"-0000000000124")),
        ("workbook", put("90", "carried in", b"+00000000000001")),
    ],
)
def test_a_changed_settlement_file_is_told_by_its_reason(folder, reason, change):
    edit(folder / SETTLEMENT, change)
    assert reasons(folder) & {"sha256", "size"}
    reseal(folder)
    found = validate(folder)
    assert reason in {finding.reason for finding in found}
    assert not {"sha256", "digest", "manifest"} & {finding.reason for finding in found}
    assert all(finding.text for finding in found)


def test_parties_out_of_order_and_twice_are_told(folder):
    records = (folder / SETTLEMENT).read_bytes().removesuffix(b"\n").split(b"\n")
    starts = [place for place, each in enumerate(records) if each.startswith(b"10")]
    first, second = records[starts[0] : starts[1]], records[starts[1] : starts[2]]
    rest = records[starts[2] :]
    edit(folder / SETTLEMENT, lambda _: [records[0], *second, *first, *rest])
    assert "order" in reasons(folder)
    edit(folder / SETTLEMENT, lambda _: [records[0], *first, *first, *second, *rest])
    assert "duplicate" in reasons(folder)


def replaced(name, old, new):
    def change(folder):
        path = folder / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return change


def forgotten(name):
    """A file that is gone, and the manifest made anew without it."""

    def change(folder):
        (folder / name).unlink()
        content = json.loads((folder / "manifest.json").read_bytes())
        content["files"] = [each for each in content["files"] if each["name"] != name]
        del content["digest"]
        (folder / "manifest.json").write_bytes(manifest.sealed(content))

    return change


def write_records(folder, name, records):
    content = json.loads((folder / "manifest.json").read_bytes())
    for each in content["files"]:
        if each["name"] == name:
            each["records"] = records
    del content["digest"]
    (folder / "manifest.json").write_bytes(manifest.sealed(content))


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("no-manifest", lambda folder: (folder / "manifest.json").unlink()),
        ("manifest", replaced("manifest.json", b'"run": 1', b'"run": 2')),
        ("manifest", replaced("manifest.json", b'"run": 1', b'"run":  1')),
        ("manifest", replaced("manifest.json", b"counterfoil-", b"someone-")),
        ("manifest", lambda folder: (folder / "manifest.json").write_bytes(b"[" * 100000)),
        ("missing-file", lambda folder: (folder / DETAILS).unlink()),
        ("missing-file", forgotten(DETAILS)),
        ("missing-file", forgotten(f"statements/statement-{STEM}-{LAKESIDE}.pdf")),
        ("missing-file", forgotten(f"unpaid-{STEM}.csv")),
        ("payments-sums", forgotten(f"payments-{STEM}.xml")),
        ("extra-file", lambda folder: (folder / "extra.txt").write_bytes(b"")),
        ("extra-file", lambda folder: (folder / "details" / ".tmp-x").write_bytes(b"")),
        ("size", replaced(DETAILS, b"pos", b"poss")),
        ("sha256", replaced(DETAILS, b"pos", b"sop")),
        ("records", lambda folder: write_records(folder, DETAILS, 5)),
    ],
)
def test_a_changed_set_is_told_by_its_reason(folder, reason, change):
    change(folder)
    assert reason in reasons(folder)


def test_a_link_to_another_file_is_not_followed(folder, good):
    (folder / DETAILS).unlink()
    (folder / DETAILS).symlink_to(good / DETAILS)
    assert "extra-file" in reasons(folder)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("details", replaced(DETAILS, b"-1.30,", b"-1.31,")),
        ("details", replaced(DETAILS, b"-1.30", b'"-1.30')),
        ("details", replaced(DETAILS, b"RRN", b"RNR")),
        ("statement", replaced(f"statements/statement-{STEM}-{LAKESIDE}.pdf", b"%PDF", b"%FDP")),
        ("payments", replaced(f"payments-{STEM}.xml", b"<ChrgBr>DEBT</ChrgBr>", b"")),
        ("payments", replaced(f"payments-{STEM}.xml", b"<NbOfTxs>1<", b"<NbOfTxs>2<")),
        ("date", replaced(f"payments-{STEM}.xml", b"2026-11-23", b"2026-11-24")),
        ("payments-sums", replaced(f"unpaid-{STEM}.csv", b"4.74", b"4.75")),
        ("list", replaced(f"unpaid-{STEM}.csv", b"4.74", b"four")),
        ("collections", replaced(f"collections-{STEM}.csv", b"400.00", b"400.01")),
        ("workbook", replaced(f"summary-{STEM}.xlsx", b"PK\x03\x04", b"PK\x03\x05")),
    ],
)
def test_a_change_under_right_digests_is_told_by_its_reason(folder, reason, change):
    change(folder)
    reseal(folder)
    assert reason in reasons(folder)


def test_a_payment_of_another_amount_under_right_sums_is_told(folder):
    path = folder / f"payments-{STEM}.xml"
    data = path.read_bytes()
    amount = re.search(rb"<CtrlSum>([0-9.]+)<", data)[1]
    path.write_bytes(data.replace(amount, b"1000000.00"))
    reseal(folder)
    assert reasons(folder) == {"payments-sums"}


def test_every_reason_is_told_by_some_test():
    text = Path(__file__).read_text(encoding="utf-8")
    missing = [reason for reason in REASONS if f'"{reason}"' not in text]
    assert not missing


def test_the_document_tells_every_reason():
    text = (Path(__file__).parents[2] / "clearing" / "FILES.md").read_text(encoding="utf-8")
    assert all(f"| `{reason}` | {meaning} |" in text for reason, meaning in REASONS.items())


def flipped(folder, path, places, rounds):
    """Flip a bit of a file at each of the places in turn; give the places that nobody noticed."""
    data = bytearray(path.read_bytes())
    unnoticed = []
    for place in places:
        bit = 1 << (place + rounds) % 8
        data[place] ^= bit
        path.write_bytes(data)
        if not validate(folder):
            unnoticed.append(place)
        data[place] ^= bit
    path.write_bytes(data)
    return unnoticed


def test_a_flipped_bit_anywhere_in_any_file_is_found(folder):
    stride = 1 if os.environ.get("COUNTERFOIL_LONG") else 61
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(paths) == 15
    for number, path in enumerate(paths):
        places = range(number % stride, path.stat().st_size, stride)
        assert flipped(folder, path, places, number) == []
    assert validate(folder) == []


def test_a_flipped_bit_at_any_place_of_the_manifest_is_found(tmp_path):
    day = sample_day.day_of((), movements=(), exceptions=())
    folder = tmp_path / "set"
    write_set(day, sample_day.Kept(()), folder, workers=0)
    path = folder / "manifest.json"
    assert flipped(folder, path, range(path.stat().st_size), 0) == []
