"""Points outstanding by the month in which they run out."""

from itertools import chain

from engine.ageing import outstanding
from engine.points import LOTS_MAX
from engine.records import NEVER
from ledger import codec, schema
from tests.engine.house import House, moment
from tests.engine.memory_book import MemoryBook

AT = moment(20260301)


def rows(book):
    """The rows that a snapshot would tell."""
    tables = (book.view.rows(bytes((table,))) for table in (schema.POINTS, schema.LOTS))
    return [(key, codec.unpack_row(key, packed)) for key, packed in chain(*tables)]


def test_points_are_added_up_by_program_and_month():
    house = House(MemoryBook())
    house.open(20260301, at=AT)
    for name in ("P01", "P02"):
        house.program(name, AT)
    for member in ("M1", "M2"):
        house.member(member, AT)
        house.balance(member, "P01", 100, AT, 20260315)
        house.balance(member, "P01", 10, AT, 20260331)
        house.balance(member, "P01", 7, AT)
    house.balance("M1", "P02", 5, AT, 20250131)
    assert outstanding(rows(house.book)) == {
        ("P01", 0): 14,
        ("P01", 202603): 220,
        ("P02", 202501): 5,
    }


def test_lots_beside_the_record_count_too():
    house = House(MemoryBook())
    house.open(20260301, at=AT)
    house.program("P01", AT)
    house.member("M1", AT)
    days = [20270000 + month * 100 + day for month in range(1, 13) for day in range(1, 29)]
    assert len(days) > LOTS_MAX
    for number, day in enumerate(days, 1):
        house.balance("M1", "P01", number, AT, day)
    house.balance("M1", "P01", 1, AT, NEVER)
    found = outstanding(rows(house.book))
    assert len(found) == 13
    assert sum(found.values()) == len(days) * (len(days) + 1) // 2 + 1
    assert list(found) == sorted(found)
