"""Payments to parties as ISO 20022 pain.001.001.09, customer credit transfer initiation.

One payment information block, paid from the operator's account on the value date, one credit
transfer for each party that is owed money and whose account is known; the others stand on the list
of the unpaid. All identifications are functions of (date, run, party), so that a bank that gets the
file twice can tell. A day without payments has no file, since the schema wants one transfer at
least.

Texts: identifications keep to the character set that all banks take (``a-z A-Z 0-9 / - ? : ( ) . ,
' +`` and space); names are as registered, Chinese included, without characters that cannot be
printed, at most 140 characters, which is the schema's limit.

Bank codes of 12 digits are CNAPS numbers (``ClrSysId/Cd`` ``CNAPS``); 8 or 11 characters
that look like a BIC are one; others go as an other identification.

`check` is a structural check kept by hand: order, presence, length and pattern of every element
that this module writes, counts and sums. **It is not the official schema**, which belongs to its
publisher and is not part of this software; the tests check what is written against a copy of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, BinaryIO

from lxml import etree

from clearing.files.figures import fen_of, iso_date, iso_time, printable, yuan
from clearing.files.lists import credits_of
from clearing.model import ACCOUNT, Day, PartyDay

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_Q = f"{{{NAMESPACE}}}"
_OPENING = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}"><CstmrCdtTrfInitn>'
).encode("ascii")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_CNAPS = re.compile(r"[0-9]{12}")
SIZE_MAX = 256 * 1024 * 1024
"""Bytes of a payment file that `check` reads."""


def message_id(day: Day) -> str:
    """Name the file to the bank: ``CF`` date ``-`` run."""
    return f"CF{day.date}-{day.run:02d}"


def short_party(party: str) -> str:
    """Name a party in 18 characters: its id, or of a longer one the beginning and a digest."""
    if len(party) <= SHORT_MAX:
        return party
    return f"{party[:7]}.{hashlib.sha256(party.encode()).hexdigest()[:10]}"


def end_to_end_id(date: int, run: int, party: str) -> str:
    """Name a payment in at most 35 characters; the bank's confirmation carries it back."""
    return f"CF{date}-{run:02d}-{short_party(party)}"


SHORT_MAX = 18
_END_TO_END = re.compile(r"CF([0-9]{8})-([0-9]{2,4})-([A-Za-z0-9_.-]{1,18})")


def parse_end_to_end_id(text: str) -> tuple[int, int, str] | None:
    """Take an end-to-end id apart into date, run and `short_party`; None for another's."""
    found = _END_TO_END.fullmatch(text)
    return (int(found[1]), int(found[2]), found[3]) if found else None


def _name(text: str, otherwise: str) -> str:
    cleaned = " ".join(printable(text).split())
    return cleaned[:140] or otherwise


def write(day: Day, target: BinaryIO) -> tuple[int, int]:
    """Write the file; returns the number of payments and their sum in fen.

    Raises:
        ValueError: there is nobody to pay; a file without payments does not exist.
    """
    paid, _ = credits_of(day)
    if not paid:
        raise ValueError("no party is paid by this run")
    total = sum(party.payable for party in paid)
    operator = day.operator
    head = _element("GrpHdr")
    _text(head, "MsgId", message_id(day))
    _text(head, "CreDtTm", iso_time(day.closed, between="T"))
    _text(head, "NbOfTxs", str(len(paid)))
    _text(head, "CtrlSum", yuan(total))
    _text(_under(head, "InitgPty"), "Nm", _name(operator.name, "Operator"))
    # Elements are made without a namespace and stand below one default namespace, so that a file
    # of a hundred thousand payments is written as it comes and names the namespace once.
    target.write(_OPENING)
    target.write(etree.tostring(head, encoding="UTF-8", xml_declaration=False))
    target.write(b"<PmtInf>")
    target.writelines(
        etree.tostring(element, encoding="UTF-8", xml_declaration=False)
        for element in _payment_information(day, len(paid), total)
    )
    for party in paid:
        transfer = _transfer(day, party)
        target.write(etree.tostring(transfer, encoding="UTF-8", xml_declaration=False))
    target.write(b"</PmtInf></CstmrCdtTrfInitn></Document>\n")
    return len(paid), total


def _element(name: str) -> Any:
    return etree.Element(name)


def _under(parent: Any, *path: str) -> Any:
    for name in path:
        parent = etree.SubElement(parent, name)
    return parent


def _text(parent: Any, name: str, text: str) -> Any:
    element = _under(parent, name)
    element.text = text
    return element


def _leaf(name: str, text: str) -> Any:
    element = _element(name)
    element.text = text
    return element


def _payment_information(day: Day, count: int, total: int) -> list[Any]:
    """What stands before the transfers: identification, sums, date, payer."""
    date, debtor, account, agent = map(_element, ("ReqdExctnDt", "Dbtr", "DbtrAcct", "DbtrAgt"))
    _text(date, "Dt", iso_date(day.value_date))
    _text(debtor, "Nm", _name(day.operator.account_name, _name(day.operator.name, "Operator")))
    _text(_under(account, "Id", "Othr"), "Id", day.operator.account_number)
    _text(account, "Ccy", "CNY")
    _institution(agent, day.operator.bank_code)
    return [
        _leaf("PmtInfId", f"{message_id(day)}-1"),
        _leaf("PmtMtd", "TRF"),
        _leaf("BtchBookg", "false"),
        _leaf("NbOfTxs", str(count)),
        _leaf("CtrlSum", yuan(total)),
        date,
        debtor,
        account,
        agent,
        _leaf("ChrgBr", "DEBT"),
    ]


def _institution(agent: Any, bank_code: str) -> None:
    institution = _under(agent, "FinInstnId")
    if _CNAPS.fullmatch(bank_code):
        member = _under(institution, "ClrSysMmbId")
        _text(_under(member, "ClrSysId"), "Cd", "CNAPS")
        _text(member, "MmbId", bank_code)
    elif _BIC.fullmatch(bank_code):
        _text(institution, "BICFI", bank_code)
    else:
        _text(_under(institution, "Othr"), "Id", bank_code)


def _transfer(day: Day, party: PartyDay) -> Any:
    made = _element("CdtTrfTxInf")
    identification = _under(made, "PmtId")
    name = end_to_end_id(day.date, day.run, party.id)
    _text(identification, "InstrId", name)
    _text(identification, "EndToEndId", name)
    amount = _text(_under(made, "Amt"), "InstdAmt", yuan(party.payable))
    amount.set("Ccy", "CNY")
    _institution(_under(made, "CdtrAgt"), party.bank_code)
    _text(_under(made, "Cdtr"), "Nm", _name(party.account_name, _name(party.name, party.id)))
    _text(_under(made, "CdtrAcct", "Id", "Othr"), "Id", party.account_number)
    remark = f"Settlement {iso_date(day.date)} run {day.run} {party.id}"
    _text(_under(made, "RmtInf"), "Ustrd", remark)
    return made


# The structural check: for each element its children in order, as (name, least, most), or the
# pattern of its text. Only what this module writes is known; anything else is a finding.
_ID = r"[A-Za-z0-9/?:().,'+ _-]{1,35}"
_NAME = r"[^\x00-\x1f\x7f]{1,140}"
_AMOUNT = r"(?!0\.00$)[0-9]{1,16}\.[0-9]{2}"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_STRUCTURE: dict[str, tuple[tuple[str, int, int], ...] | str] = {
    "Document": (("CstmrCdtTrfInitn", 1, 1),),
    "CstmrCdtTrfInitn": (("GrpHdr", 1, 1), ("PmtInf", 1, 1)),
    "GrpHdr": tuple(
        (name, 1, 1) for name in ("MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty")
    ),
    "PmtInf": (
        *((name, 1, 1) for name in ("PmtInfId", "PmtMtd", "BtchBookg", "NbOfTxs", "CtrlSum")),
        *((name, 1, 1) for name in ("ReqdExctnDt", "Dbtr", "DbtrAcct", "DbtrAgt", "ChrgBr")),
        ("CdtTrfTxInf", 1, 10**9),
    ),
    "CdtTrfTxInf": tuple(
        (name, 1, 1) for name in ("PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf")
    ),
    "PmtId": (("InstrId", 1, 1), ("EndToEndId", 1, 1)),
    "Amt": (("InstdAmt", 1, 1),),
    "ReqdExctnDt": (("Dt", 1, 1),),
    "InitgPty": (("Nm", 1, 1),),
    "Dbtr": (("Nm", 1, 1),),
    "Cdtr": (("Nm", 1, 1),),
    "DbtrAcct": (("Id", 1, 1), ("Ccy", 1, 1)),
    "CdtrAcct": (("Id", 1, 1),),
    "DbtrAcct/Id": (("Othr", 1, 1),),
    "CdtrAcct/Id": (("Othr", 1, 1),),
    "DbtrAgt": (("FinInstnId", 1, 1),),
    "CdtrAgt": (("FinInstnId", 1, 1),),
    "FinInstnId": (("BICFI", 0, 1), ("ClrSysMmbId", 0, 1), ("Othr", 0, 1)),
    "ClrSysMmbId": (("ClrSysId", 1, 1), ("MmbId", 1, 1)),
    "ClrSysId": (("Cd", 1, 1),),
    "Othr": (("Id", 1, 1),),
    "RmtInf": (("Ustrd", 1, 1),),
    "MsgId": _ID,
    "PmtInfId": _ID,
    "InstrId": _ID,
    "EndToEndId": _ID,
    "CreDtTm": _DATE + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}",
    "NbOfTxs": r"[0-9]{1,15}",
    "CtrlSum": _AMOUNT,
    "InstdAmt": _AMOUNT,
    "PmtMtd": "TRF",
    "BtchBookg": "false",
    "Dt": _DATE,
    "Nm": _NAME,
    "Othr/Id": ACCOUNT.pattern,
    "Ccy": "CNY",
    "ChrgBr": "DEBT",
    "BICFI": _BIC.pattern,
    "Cd": "CNAPS",
    "MmbId": _CNAPS.pattern,
    "Ustrd": r"[A-Za-z0-9/?:().,'+ _-]{1,140}",
}
_PATTERNS = {name: re.compile(rule) for name, rule in _STRUCTURE.items() if isinstance(rule, str)}


def parser() -> Any:
    """A parser that takes no entities, loads nothing and stops at huge documents."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )


def check(data: bytes) -> tuple[list[str], dict[str, int]]:
    """Check a payment file by its structure and sums.

    Returns:
        What is wrong, in sentences, and the fen of each end-to-end id.
    """
    try:
        root = etree.fromstring(data, parser())
    except etree.XMLSyntaxError as fault:
        return [f"is no XML document: {fault.msg}"], {}
    if root.getroottree().docinfo.doctype:
        return ["has a document type, which a payment file never has"], {}
    wrong: list[str] = []
    if root.tag != _Q + "Document":
        return [f"its root is not Document of {NAMESPACE}"], {}
    _check_element(root, "", wrong)
    if wrong:
        return wrong, {}
    return _check_sums(root)


def _check_element(element: Any, parent: str, wrong: list[str]) -> None:
    """Check one element and those in it against the table."""
    name = etree.QName(element).localname
    rule = _STRUCTURE.get(f"{parent}/{name}", _STRUCTURE.get(name))
    if rule is None:
        wrong.append(f"{parent}/{name} is not expected")
        return
    attributes = {"Ccy": "CNY"} if name == "InstdAmt" else {}
    if dict(element.attrib) != attributes:
        wrong.append(f"{name} has other attributes than {attributes or 'none'}")
    if isinstance(rule, str):
        pattern = _PATTERNS.get(f"{parent}/{name}") or _PATTERNS[name]
        if len(element) or not pattern.fullmatch(element.text or ""):
            wrong.append(f"{name} does not have the form that it must have")
        return
    if (element.text or "").strip():
        wrong.append(f"{name} has text between its elements")
    _check_order(element, name, rule, wrong)
    for child in element:
        _check_element(child, name, wrong)


def _check_order(
    element: Any, name: str, rule: tuple[tuple[str, int, int], ...], wrong: list[str]
) -> None:
    found = [child.tag for child in element]
    place = 0
    for child, least, most in rule:
        count = 0
        while place < len(found) and found[place] == _Q + child:
            place += 1
            count += 1
        if not least <= count <= most:
            wrong.append(f"{name} has {count} of {child} where it is expected")
    if place < len(found):
        wrong.append(f"{name} has elements that are unknown or out of order")
    if name == "FinInstnId" and len(found) != 1:
        wrong.append("FinInstnId names not exactly one identification")


def _check_sums(root: Any) -> tuple[list[str], dict[str, int]]:
    wrong: list[str] = []
    payments: dict[str, int] = {}
    for transfer in root.iter(_Q + "CdtTrfTxInf"):
        name = transfer.findtext(f"{_Q}PmtId/{_Q}EndToEndId")
        if name in payments:
            wrong.append(f"payment {name} occurs twice")
        payments[name] = fen_of(transfer.findtext(f"{_Q}Amt/{_Q}InstdAmt"))
    total = sum(payments.values())
    wrong.extend(
        f"NbOfTxs says {count.text}, there are {len(payments)} transfers"
        for count in root.iter(_Q + "NbOfTxs")
        if int(count.text) != len(payments)
    )
    wrong.extend(
        f"CtrlSum says {said.text}, the transfers sum to {yuan(total)}"
        for said in root.iter(_Q + "CtrlSum")
        if fen_of(said.text) != total
    )
    return wrong, payments
