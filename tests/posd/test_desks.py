"""Tills as a merchant runs them: operators, locks on live links, downloads in blocks."""

import hashlib

import pytest

from engine.rules import desks, reference
from engine.vault import operator_owner
from posd import security
from posd.iso8583.tlv import build_tlv, parse_tlv
from tests.posd.conversation import CARD, MERCHANT, Conversation

ZEROS = "0000000000000"
SALE = "0200 3=220065 2={card} 4=000000012345 49=156"
APPROVAL = "39=00 4=* 15=* 37=* 38=* 48=* 49=156 54=* 64=*"


def with_operators(**last):
    """A conversation with a merchant that has a cashier and a supervisor."""
    talk = Conversation()
    row = talk.host.standing("00000001").merchant
    terms = []
    for one in row.terms:
        values = {name: getattr(one, name) for name in one.__dataclass_fields__} | last
        terms.append(tuple(values.values()))
    talk.administer(
        reference.PutMerchant(MERCHANT, row.name, "HB01", "7011", tuple(terms), True, True)
    )
    for name, role, pin in (("001", "cashier", "1111"), ("007", "supervisor", "777777")):
        digest = talk.vault.pin_digest(operator_owner(MERCHANT, name), pin)
        talk.administer(desks.PutOperator(MERCHANT, name, name, digest, role, True))
    talk.sign_on()
    return talk


def test_a_merchant_with_operators_hears_only_them():
    talk = with_operators()
    talk.play(f"""
        >> {SALE}
        << 0210 39=58 44=* 64=*
        >> {SALE} 63=008
        << 0210 39=58 44=* 64=*
        >> {SALE} 63=001
        .. accrual APPROVED
        << 0210 {APPROVAL}
        >> 0100 3=310000 2={{card}} 63=001,note
        << 0110 39=00 48=* 54=* 64=*
        """)
    talk.administer(desks.PutOperator(MERCHANT, "001", "001", b"", "cashier", False))
    talk.play(f">> {SALE} 63=001\n<< 0210 39=58 44=* 64=*")


@pytest.mark.parametrize("profile", ["aes", "tdes-x919", "tdes-cup"])
def test_a_supervisor_approves_with_a_pin(profile):
    talk = with_operators(refund_pin_above=10_000)
    if profile != "aes":
        talk.till({"tdes-x919": "00000002", "tdes-cup": "00000003"}[profile])
        talk.sign_on()
    right = talk.pin_block("777777", ZEROS).hex().upper()
    wrong = talk.pin_block("777778", ZEROS).hex().upper()
    talk.play(f">> {SALE} 63=001 stan=900\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    void = "0200 3=200000 2={card} 4=000000012345 49=156 61=000001000900"
    talk.play(f"""
        >> {void} 63=007
        .. void OPERATOR_PIN_MISSING
        << 0210 39=55 44=* 64=*
        >> {void} 63=001 48=19:{right}
        << 0210 39=58 44=* 64=*
        >> {void} 63=007 48=19:{wrong}
        .. void OPERATOR_PIN_WRONG
        << 0210 39=55 44=* 64=*
        >> {void} 63=007 48=19:00
        << 0210 39=99 44=* 64=*
        >> {void} 63=007 48=19:{right}
        .. void APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        """)


def test_a_lock_is_felt_on_the_live_link_and_by_this_terminal_alone():
    talk = Conversation()
    talk.sign_on()
    talk.play(f">> {SALE}\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    for action in ("lock", "disable"):
        talk.administer(desks.SetTerminal("00000001", action, "lead", "stolen"))
        talk.play(f">> {SALE}\n<< 0210 39=58 44=*")
    talk.till("00000002")  # on the same link
    talk.sign_on()
    talk.play(f">> {SALE}\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    talk.till("00000001")
    talk.administer(desks.SetTerminal("00000001", "enable", "lead", "found"))
    talk.play(f">> {SALE}\n<< 0210 39=58 44=*")
    talk.administer(desks.SetTerminal("00000001", "unlock", "lead", "found"))
    talk.play(f">> {SALE}\n.. accrual APPROVED\n<< 0210 {APPROVAL}")


# Downloads.


def put(talk, version, count, owner=("any", ""), software=""):
    entries = tuple((f"NAME{n}", f"{version} text {n} " + "x" * 60) for n in range(count))
    talk.administer(desks.PutParameters(*owner, version, software, entries))


def block(talk, number):
    talk.play(f">> 0800 code=360 62={number:04d}\n<< 0810 39=00 62=* 64=*")
    data = talk.reply.fields[62]
    assert data[1:5] == f"{number:04d}".encode()
    return data[:1] == b"0", parse_tlv(data[5:], repeats_allowed=True)


def download(talk):
    """All elements but the versions at the head of blocks, and the version."""
    elements, versions, number, last = [], set(), 0, False
    while not last:
        number += 1
        last, found = block(talk, number)
        assert found[0][0] == "1D"
        versions.add(found[0][1])
        elements += found[1:]
    assert len(versions) == 1
    tag, digest = elements.pop()
    assert tag == "DG"
    assert digest == hashlib.sha256(build_tlv(elements)).hexdigest()[:16].encode()
    return elements, versions.pop(), number


def digit(talk):
    """The processing request of the header of the last reply."""
    return talk.header[2] & 0x0F


def test_parameters_come_in_blocks_and_any_block_again():
    talk = Conversation()
    put(talk, "2026.11", 40)
    talk.sign_on()
    elements, version, blocks = download(talk)
    assert blocks > 3
    assert dict(elements)["PV"] == b"2026.11"
    assert [value for tag, value in elements if tag == "PE"][39].startswith(b"NAME39=2026.11")
    second = block(talk, 2)
    assert block(talk, 2) == second
    assert second[1][0] == ("1D", version)
    talk.play(f"""
        >> 0800 code=360 62={blocks + 1:04d}
        << 0810 39=30 44=* 64=*
        >> 0800 code=360 62=0000
        << 0810 39=30 44=* 64=*
        """)


def test_a_narrower_scope_takes_the_place_of_a_wider_one():
    talk = Conversation()
    put(talk, "wide", 2)
    put(talk, "shop", 1, ("merchant", MERCHANT))
    put(talk, "own", 1, ("terminal", "00000002"))
    talk.sign_on()
    entries = [value for tag, value in download(talk)[0] if tag == "PE"]
    assert [value.split()[0] for value in entries] == [b"NAME0=shop", b"NAME1=wide"]
    talk.till("00000002")
    talk.sign_on()
    entries = [value for tag, value in download(talk)[0] if tag == "PE"]
    assert [value.split()[0] for value in entries] == [b"NAME0=own", b"NAME1=wide"]


def test_who_reports_versions_is_told_what_waits():
    talk = Conversation()
    put(talk, "2026.11", 2, software="4.0")
    talk.sign_on()
    talk.play(f">> {SALE}\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    assert digit(talk) == 0  # it has reported nothing
    _, version, _ = download(talk)
    known = version.decode()
    talk.play(f">> 0800 code=005 mac=master 48=1C:4.0,1D:{known}\n<< 0810 39=00 62=* 64=*")
    assert digit(talk) == 0
    put(talk, "2026.12", 2, software="4.1")
    talk.play(f">> {SALE}\n.. keys confirmed APPROVED\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    assert digit(talk) == 1
    download(talk)
    assert digit(talk) == 6
    talk.play(f">> {SALE}\n.. accrual APPROVED\n<< 0210 {APPROVAL}")
    assert digit(talk) == 6
    talk.play(f">> {SALE} mac=wrong\n<< 0210 39=A0 44=*")
    assert digit(talk) == 3


def test_a_lost_card_is_on_the_next_list_and_named_to_this_terminal_only():
    talk = Conversation()
    number = "6222020000000000059"
    token = ("C", talk.vault.token_digest("C", number))
    sealed = talk.vault.seal_token("C", number)[1]
    talk.administer(reference.PutMember("M9", "base", "active", b"", (token,), (sealed,)))
    talk.sign_on()
    before, version, _ = download(talk)
    assert "HC" not in dict(before)
    talk.play(f"""
        >> 0800 code=005 mac=master 48=1D:{version.decode()}
        << 0810 39=00 62=* 64=*
        >> 0600 3=960000 2={number}
        .. keys confirmed APPROVED
        .. loss report APPROVED
        << 0610 39=00 64=*
        >> {SALE}
        .. accrual APPROVED
        << 0210 {APPROVAL}
        """)
    assert digit(talk) == 7
    after, newest, _ = download(talk)
    assert newest != version
    told = dict(after)["HC"].decode()
    keys = talk.speaker.keys[-1]
    mac = security.mac_calculator("aes", keys.mac_key)
    assert told == mac(b"hot card " + number.encode()).hex()
    assert CARD not in told
    assert digit(talk) == 0
