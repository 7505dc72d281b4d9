"""Records that write out what a dataclass would generate: nothing may be left out or swapped."""

from dataclasses import fields

import pytest

from engine.catalogue import RULES
from engine.commands import Answer, Outcome
from engine.records import Batch, Points, identity_of, packed_identity
from engine.rules.offline import OfflineAccrual
from engine.rules.points import Accrual, Redemption
from engine.rules.reference import PutTerminal
from ledger.model import values_of

SAMPLES = {
    Outcome: (3, "M1", (("points", "P01", 1, 2),), (("moved", "+1"),), (("P01", "C", 1),)),
    Answer: (Outcome(3, "M1", (), (), ()), 17, 20260101, True),
    Points: (
        ((20270101, "S1", 5),),
        (("S2", 6),),
        ((20280101, "S3", 1, 7),),
        8,
        (9, 7),
        ((1, 2, ()),),
        ((20270101, 20280101, "S1", 4),),
    ),
    Batch: ("open", 4, 20260102, (("P01", 1, 2, 3, 5),), ((20260101, "P01", 1, 1, 1, 1),), 6, 7, 8),
    Accrual: ("T1", "S1", 1, 2, b"digest", "220065", (("C", b"card"),), 3, "R"),
    PutTerminal: (
        "T1",
        "S1",
        "aes",
        b"tmk",
        "C0",
        "utf-8",
        ("::/0",),
        b"no",
        "sales",
        True,
        "EAST",
    ),
    Redemption: ("T1", "S1", 1, 2, b"digest", "006500", (("C", b"card"),), "P01", 3, 4, "R"),
}


@pytest.mark.parametrize("cls", SAMPLES, ids=lambda cls: cls.__name__)
def test_constructor_and_values_have_the_fields_in_their_order(cls):
    given = SAMPLES[cls]
    names = [field.name for field in fields(cls)]
    made = cls(*given)
    assert tuple(getattr(made, name) for name in names) == given
    assert values_of(made) == given
    assert made == cls(**dict(zip(names, given, strict=True)))


def test_a_record_with_further_fields_tells_them_too():
    names = [field.name for field in fields(OfflineAccrual)]
    shared = SAMPLES[Accrual][:-1]  # both begin with these
    given = (*shared, *range(len(names) - len(shared)))
    made = OfflineAccrual(*given)
    assert len(names) > len(shared)
    assert values_of(made) == tuple(getattr(made, name) for name in names) == given


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_command_that_tells_its_fields_itself_is_among_those_above(rule):
    if "values" in vars(rule.command):
        assert rule.command in SAMPLES


def test_an_identity_comes_back_from_its_row():
    row = packed_identity(1 << 40, bytes(range(16)))
    assert isinstance(row, bytes)
    known = identity_of(row)
    assert (known.sequence, known.content) == (1 << 40, bytes(range(16)))
    reversed_before = identity_of(packed_identity(0, b""))
    assert (reversed_before.sequence, reversed_before.content) == (0, b"")
    assert identity_of(None) is None
