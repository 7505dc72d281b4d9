"""The client itself, before it may judge the daemon: published vectors and deliberate breaches."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import keys, spec8583
from .client import Terminal
from .messages import Breach, Request, keyed, member_fields, swiped, total_line
from .spec8583 import Frame

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
PROFILES = {vector["profile"]: vector for vector in VECTORS["messages"]}
CARD = "6222020000000000018"


@pytest.fixture(params=PROFILES.values(), ids=PROFILES)
def vector(request):
    return request.param


@pytest.fixture
def terminal(vector):
    """The terminal of the vectors with the keys that its field 62 delivers."""
    tmk = bytes.fromhex(vector["tmk"])
    made = Terminal(vector["profile"], "00000001", "104110045110012", tmk, source=0x0001)
    made.tpdu = bytes.fromhex("6012340001")
    made.keys = keys.open_key_set(vector["profile"], tmk, bytes.fromhex(vector["field_62"]))
    return made


# --- vectors -------------------------------------------------------------------------------


def test_field_62_gives_the_keys_of_the_vector(terminal, vector):
    assert terminal.keys.pin_key.hex() == vector["pin_key"]
    assert terminal.keys.mac_key.hex() == vector["mac_key"]


def test_published_cup_sign_on_gives_its_keys():
    published = VECTORS["cup_published"]
    found = keys.open_key_set(
        "tdes-cup", bytes.fromhex(published["tmk"]), bytes.fromhex(published["field_62"])
    )
    assert found.pin_key == bytes.fromhex(published["pin_key"])
    assert found.mac_key == bytes.fromhex(published["mac_key"])


def test_an_accrual_is_the_vector_byte_for_byte(terminal, vector):
    request = terminal.accrual(keyed(CARD), 12345)
    assert dict(request.fields) == vector["accrual_fields"]
    sent = terminal.sealed(request)
    assert sent.frame.message.hex() == vector["accrual_message"]
    assert sent.frame.encode().hex() == vector["accrual_frame"]


def test_a_sign_on_is_the_vector_byte_for_byte(terminal, vector):
    sent = terminal.sign_on_request()
    assert dict(sent.request.fields) == vector["sign_on_fields"]
    assert sent.frame.message.hex() == vector["sign_on_message"]


def test_the_sign_on_key_is_the_vector():
    aes = PROFILES["aes"]
    assert keys.sign_on_key(bytes.fromhex(aes["tmk"])).hex() == aes["sign_on_key"]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_cmac_is_that_of_rfc_4493(length, expected):
    text = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    assert keys.aes_cmac(key, text[:length]).hex() == expected


def test_unwrapping_is_that_of_rfc_3394():
    wrapped = bytes.fromhex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")
    found = keys.aes_unwrap(bytes(range(16)), wrapped)
    assert found.hex() == "00112233445566778899aabbccddeeff"


def test_a_format_0_block_is_that_of_the_standard():
    """PIN 1234 and card 43219876543210987: 0412 34FF … exclusive or 0000 9876 5432 1098."""
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    block = keys.pin_block("tdes-x919", key, "1234", "43219876543210987")
    assert keys.des_decrypt(key, block).hex() == "0412ac89abcdef67"


def test_a_format_4_block_opens_to_the_pin():
    key = bytes(range(16))
    block = keys.pin_block("aes", key, "123456", CARD)
    account = bytes.fromhex("7" + CARD + "0" * 12)
    opened = keys.aes_decrypt(key, keys.xor(keys.aes_decrypt(key, block), account))
    assert opened.hex().startswith("46123456aaaaaaaa")


def test_a_key_set_with_one_bit_changed_is_refused(vector):
    tmk, field_62 = bytes.fromhex(vector["tmk"]), bytes.fromhex(vector["field_62"])
    for at in range(len(field_62)):
        spoiled = field_62[:at] + bytes([field_62[at] ^ 0x10]) + field_62[at + 1 :]
        with pytest.raises(keys.KeyFault):
            keys.open_key_set(vector["profile"], tmk, spoiled)


# --- fields and elements -------------------------------------------------------------------


def test_field_22_is_left_aligned_and_23_is_not():
    raw = spec8583.encode_message({"t": "0200", "22": "021", "23": "021"})
    assert raw.hex().endswith("02100021")


def test_track_2_of_odd_length_is_filled_with_f():
    raw = spec8583.encode_message({"t": "0200", "35": "6222D30"})
    assert raw.hex().endswith("07" + "6222d30f")


def test_the_secondary_bitmap_moves_the_mac_to_128():
    assert spec8583.mac_field({"t": "0600", "110": "00" * 16}) == "128"
    assert spec8583.mac_field({"t": "0600", "52": "00" * 8}) == "64"


def test_swiped_track_2_begins_with_the_card():
    assert swiped(CARD).fields["35"].split("D")[0] == CARD


def test_a_total_line_has_39_characters():
    assert total_line("P01", 1, 1001, 2, 123) == "P01000001000000001001000002000000000123"


text_values = st.text(alphabet="abc0123积分+-", max_size=20)
tags = st.sampled_from(["10", "1B", "30", "34", "50"])


@given(st.lists(st.tuples(tags, text_values), max_size=8))
def test_elements_come_back_as_they_went(elements):
    coded = spec8583.encode_elements(elements)
    expected = [(tag, value.encode("gb18030")) for tag, value in elements]
    assert spec8583.decode_elements(coded) == expected


@pytest.mark.parametrize("run", [b"30", b"3000", b"30005+123", b"30x04+123"])
def test_elements_that_do_not_add_up_are_refused(run):
    with pytest.raises(ValueError, match="element"):
        spec8583.decode_elements(run.hex())


def test_a_request_keeps_only_how_it_named_its_member(terminal):
    request = terminal.compose(
        "0200", "220065", swiped(CARD), elements=[("10", "P13800000001"), ("17", "4711")]
    )
    assert member_fields(request) == {
        "35": swiped(CARD).fields["35"],
        "48": spec8583.encode_elements([("10", "P13800000001")]),
    }


# --- the client notices what a host does wrong ---------------------------------------------

APPROVAL = {
    "t": "0210",
    "3": "220065",
    "4": "000000012345",
    "11": "000001",
    "12": "235959",
    "13": "1231",
    "15": "1231",
    "37": "480113705226",
    "38": "A1B2C3",
    "39": "00",
    "41": "00000001",
    "42": "104110045110012",
    "48": spec8583.encode_elements([("30", "+123")]),
    "49": "156",
    "54": "6502P01C0000000051236501P01C000000005123",
    "60": "00000001000",
}


def host_says(terminal, sent, changes=None, *, key=None, **envelope):
    """The reply of a host that keeps to the protocol but for what a test changes."""
    fields = {n: v for n, v in {**APPROVAL, **(changes or {})}.items() if v is not None}
    body = terminal.seal(Request(fields), key).frame.message
    kept = {"tpdu": sent.frame.swapped_tpdu, "header": sent.frame.header}
    return Frame(**{**kept, **envelope}, message=body).encode()[2:]


@pytest.fixture
def sent(terminal):
    return terminal.sealed(terminal.accrual(keyed(CARD), 12345))


def test_a_right_reply_is_taken(terminal, sent):
    body = host_says(terminal, sent, key=terminal.session.mac_key)
    reply = terminal.read(sent, body)
    assert (reply.code, reply.points) == ("00", "+123")
    assert (reply.available(), reply.ledger()) == (5123, 5123)


@pytest.mark.parametrize(
    ("changes", "section"),
    [
        ({"t": "0230"}, "section 2: 0200 is answered"),
        ({"12": None}, "section 2: reply without field 12"),
        ({"13": "1332"}, "section 2: fields 12 and 13"),
        ({"11": "000002"}, "section 2: field 11 is not"),
        ({"2": CARD}, "section 2: field 2 has no place"),
        ({"37": None}, "section 2: an approval without field 37"),
        ({"37": "48011370522A"}, "section 2: field 37 is 12 digits"),
        ({"4": "000000012344"}, "section 2: an approval has field 4"),
        ({"54": "6501P01C0000000051236502P01C000000005123"}, "the available, then the ledger"),
        ({"54": "6502P01C00000000512"}, "section 2, field 54"),
        ({"60": "00000001001"}, "section 2: 60.1 and 60.3"),
        ({"39": "51"}, "section 7: decline 51 does not say why"),
        ({"39": "51", "44": f"card {CARD}"}, "section 7: field 44 has card data"),
        ({"48": spec8583.encode_elements([("32", "a"), ("32", "b")])}, "section 5: element 32"),
        ({"48": b"30009+1".hex()}, "sections 2 and 5: a reply that does not decode"),
    ],
)
def test_a_wrong_reply_is_noticed(terminal, sent, changes, section):
    body = host_says(terminal, sent, changes, key=terminal.session.mac_key)
    with pytest.raises(Breach, match=section):
        terminal.read(sent, body)


def test_a_missing_or_wrong_mac_is_noticed(terminal, sent):
    with pytest.raises(Breach, match="has none"):
        terminal.read(sent, host_says(terminal, sent))
    foreign = keys.odd_parity(bytes(range(1, len(terminal.session.mac_key) + 1)))
    with pytest.raises(Breach, match="wrong MAC"):
        terminal.read(sent, host_says(terminal, sent, key=foreign))


def test_a_mac_that_nobody_earned_is_noticed(terminal, sent):
    refusal = {"39": "A0", "44": "wrong MAC"}
    body = host_says(terminal, sent, refusal, key=terminal.session.mac_key)
    with pytest.raises(Breach, match="without a right one"):
        terminal.read(sent, body)


def test_an_unswapped_tpdu_and_a_changed_header_are_noticed(terminal, sent):
    key = terminal.session.mac_key
    with pytest.raises(Breach, match="TPDU"):
        terminal.read(sent, host_says(terminal, sent, key=key, tpdu=sent.frame.tpdu))
    asks_for_sign_on = bytes.fromhex("603103311234")
    terminal.read(sent, host_says(terminal, sent, key=key, header=asks_for_sign_on))
    other_state = host_says(terminal, sent, key=key, header=bytes.fromhex("603110311234"))
    with pytest.raises(Breach, match="header"):
        terminal.read(sent, other_state)


def test_a_negative_balance_is_read_as_one(terminal, sent):
    below = {"54": "6502P01D0000000010006501P01D000000001000"}
    body = host_says(terminal, sent, below, key=terminal.session.mac_key)
    assert terminal.read(sent, body).available() == -1000
