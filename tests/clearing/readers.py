"""A cleared set and the books, opened by readers that are not ours, and held against each other.

The settlement file is read by the columns of its document, CSV by Python's reader, the workbook by
openpyxl, statements by pypdf, the payment file under the schema that ISO 20022 publishes, the
export by beancount. ``make demo`` ends with this::

    python -m tests.clearing.readers FOLDER DIR

where FOLDER has a folder for each cleared date, and DIR is the data directory.
"""

import csv
import re
import subprocess
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from importlib import resources
from pathlib import Path

import click
import openpyxl
import pypdf
from beancount import loader
from lxml import etree

from clearing import beancount
from ledger import chart, schema
from ledger.tables import Snapshot

DOCUMENT = Path(__file__).parents[2] / "clearing" / "FILES.md"
CARRIED = ("carried in", "payable", "carried forward", "collect")
"""Columns of a control record that say what becomes of a net."""
MEMBERS = re.compile(r":(Lot|Held|Debt|Value|Value-?Expired)(:|$)")
"""Accounts of single members, whose balances are in rows of their own."""
PAIN = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"


def columns():
    """Record type to the columns that the document has for it: name, and where it stands."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = {}
    for kind, described in re.findall(r"### `(\d\d)` .*?\n(.*?)(?=\n##)", text, re.DOTALL):
        rows = re.findall(r"\n\| (\d+) \| (\d+) \| \w \| ([^|]+) \|", described)
        found[kind] = {name: slice(int(at) - 1, int(at) - 1 + int(n)) for at, n, name in rows}
    return found


COLUMNS = columns()


class Money:
    """Fen by (party, heading) and (party, column of the control record), points by program."""

    def __init__(self):
        self.headings, self.carried, self.points = Counter(), Counter(), Counter()
        self.funds = {}
        self.exceptions = Counter()

    def all(self, column):
        """Party and fen of one column of the control records, without those that have none."""
        rows = self.carried.items()
        return {party: fen for (party, name), fen in rows if name == column and fen}


def in_settlement(folder):
    """What the settlement file says, by the columns of the document."""
    (path,) = folder.glob("settlement-*.txt")
    money = Money()
    for record in path.read_bytes().splitlines():
        kind = record[:2].decode()
        where = COLUMNS[kind].items()
        told = {name: record[place].decode().strip() for name, place in where}
        if kind == "31":
            fen = int(told["credit"]) - int(told["debit"])
            money.headings[told["party"], told["heading"]] += fen
        elif kind == "32":
            for name in ("issued", "redeemed"):
                money.points[told["party"], name, told["program"]] += int(told[name])
        elif kind == "30":
            for name in ("net", *CARRIED):
                money.carried[told["party"], name] += int(told[name])
    return money


def fen_of(yuan):
    """Whole fen of a number of yuan; nothing is 0."""
    return int(Decimal(str(yuan or 0)).scaleb(2).to_integral_exact())


def table(path):
    """The rows of a CSV by their headings."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def in_details(folder):
    """Headings as the lines of the parties' CSV add up to them."""
    headings = Counter()
    for path in folder.glob("details/*.csv"):
        party = path.stem.split("-", 3)[3]
        for row in table(path):
            legs = {name[:2]: text for name, text in row.items() if re.match(r"\d\d ", name)}
            for code, text in legs.items():
                headings[party, code] += fen_of(text)
    return headings


def in_collections(folder):
    """Parties and fen that are asked for."""
    (path,) = folder.glob("collections-*.csv")
    return {row["Party 编号"].strip(): fen_of(row["Collect yuan 应收金额"]) for row in table(path)}


def in_exceptions(folder):
    """Reason, both amounts, age and state of each exception."""
    (path,) = folder.glob("exceptions-*.csv")
    names = ("Reason 原因", "Here 本方", "There 对方", "Age days 天数", "State 状态")
    return Counter(tuple(row[name] for name in names) for row in table(path))


def in_workbook(folder):
    """Nets of parties that have one, and points, fund and true-up of programs."""
    (path,) = folder.glob("summary-*.xlsx")
    book = openpyxl.load_workbook(path)

    def sheet(title):
        heads, *rows, _total = book[title].iter_rows(values_only=True)
        return [dict(zip(heads, row, strict=True)) for row in rows]

    nets = {row["Party 编号"]: fen_of(row["Net 净额"]) for row in sheet("Parties 商户")}
    funds = {
        row["Program 积分计划"]: (
            row["Outstanding 未消费积分"],
            fen_of(row["Fund 备付金"]),
            fen_of(row["Rounding 尾差"]),
        )
        for row in sheet("Programs 积分计划")
    }
    return {party: fen for party, fen in nets.items() if fen}, funds


def in_payments(folder):
    """Parties and fen that the payment file pays; nothing where there is no file."""
    return {
        each.findtext(f".//{PAIN}EndToEndId").split("-", 2)[2]: fen_of(
            each.findtext(f".//{PAIN}InstdAmt")
        )
        for path in folder.glob("payments-*.xml")
        for each in etree.parse(path).iter(f"{PAIN}CdtTrfTxInf")
    }


def official_schema():
    """The schema as ISO 20022 publishes it; a package for SEPA payments brings a copy."""
    path = resources.files("sepaxml") / "schemas" / "pain.001.001.09.xsd"
    with resources.as_file(path) as file:
        return etree.XMLSchema(etree.parse(file))


def page_of(path):
    """The text of a statement, which is one page."""
    (page,) = pypdf.PdfReader(path).pages
    return page.extract_text()


def set_faults(folder):
    """What readers find wrong with a set, as sentences."""
    told = in_settlement(folder)
    nets, _ = in_workbook(folder)
    faults = []
    if in_details(folder) != told.headings:
        faults.append("the lines of the parties' CSV do not add up to the settlement file")
    if nets != told.all("net"):
        faults.append("the workbook's nets are not those of the settlement file")
    payable = told.all("payable")
    paid = in_payments(folder)
    if any(payable.get(party) != fen for party, fen in paid.items()):
        faults.append("the payment file pays other amounts than the settlement file has")
    if in_collections(folder) != told.all("collect"):
        faults.append("the collection list asks for other amounts than the settlement file has")
    for path in folder.glob("payments-*.xml"):
        official_schema().assertValid(etree.parse(path))
    for path in folder.glob("statements/*.pdf"):
        party = path.stem.split("-", 3)[3]
        text = page_of(path)
        shown = f"{Decimal(payable.get(party, 0)) / 100:,.2f}"
        if party not in text or "结算单" not in text or shown not in text:
            faults.append(f"{path.name} does not say who is paid {shown}")
    return faults


def books_faults(directory, path):
    """What bean-check and beancount find wrong with an export of all of a directory's books."""
    checker = Path(sys.executable).with_name("bean-check")
    done = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    entries, errors, _ = loader.load_file(str(path))
    if done.returncode or done.stderr or errors:
        return [f"bean-check: {done.stderr or errors}"]
    sums = Counter()
    for entry in entries:
        for posting in getattr(entry, "postings", None) or ():
            sums[posting.account, posting.units.currency] += posting.units.number
    with Snapshot(directory) as snapshot:
        rows = snapshot.view.scan(bytes((schema.BALANCE,)))
        held = {schema.balance_account(key): amount for key, amount in rows}
    faults = []
    for account, amount in held.items():
        kind, *parts = account.split(":")
        known = chart.KINDS[kind]
        unit = parts[known.parts.index("program")] if known.points else "CNY"
        wanted = Decimal(-amount) if known.points else Decimal(-amount) / 100
        if sums.pop((beancount.account_name(account), unit), Decimal(0)) != wanted:
            faults.append(f"{account} is {amount} in the ledger, and not in the export")
    left = [account for (account, _), number in sums.items() if number]
    faults += [f"{account} is not in the ledger" for account in left if not MEMBERS.search(account)]
    return faults


def main(folder, directory):
    """Open everything, say what was read, and whether it agrees."""
    faults = []
    sets = sorted(path.parent for path in Path(folder).rglob("manifest.json"))
    for each in sets:
        faults += set_faults(each)
        pages = len(list(each.glob("statements/*.pdf")))
        click.echo(f"{each}: settlement file, CSV, workbook, payments, {pages} statements")
    with tempfile.TemporaryDirectory() as scratch:
        books = Path(scratch) / "books.beancount"
        command = [sys.executable, "-m", "tools", "export", directory, "--format", "beancount"]
        with books.open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        faults += books_faults(Path(directory), books)
        click.echo(f"{directory}: bean-check, and each balance against the ledger's")
    for fault in faults:
        click.echo(fault)
    click.echo("other readers find something wrong" if faults else "other readers agree")
    return 1 if faults or not sets else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
