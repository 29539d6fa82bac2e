"""Rows keep what was counted: checked on the way in, added and cut without loss, packed small, refused by name."""

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.judge import CountsError, Role, Row, Rows, counts


@st.composite
def row_lists(draw):
    keys = draw(
        st.lists(
            st.tuples(
                st.sampled_from(Role),
                st.integers(0, 40).map(lambda minute: minute * 60),
                st.text(max_size=4),
                st.sampled_from(["GET /", "POST /pay", "rest", "…"]),
            ),
            unique=True,
            max_size=12,
        )
    )
    made = []
    for key in keys:
        stored = draw(st.integers(0, 2**40))
        counted = st.integers(0, stored)
        bad = (draw(counted), draw(counted))
        made.append(Row(*key, stored, draw(st.integers(0, 2**45)), draw(counted), bad))
    return made


def as_set(rows: Rows):
    return sorted(map(msgspec.structs.astuple, rows.list()))


@given(row_lists())
def test_packing_loses_nothing(listed):
    rows = Rows.of(listed, 2)
    assert Rows.unpack(rows.pack()) == rows
    assert rows.list() == listed
    assert len(rows) == len(listed)


@given(row_lists(), row_lists(), st.integers(0, 2400), st.integers(0, 2400))
def test_cutting_and_adding_are_inverse(one, other, early, late):
    """Whatever the instants, what lies before, between and after is the whole."""
    early, late = sorted((early, late))
    rows = Rows.of(one, 2)
    parts = rows.between(0, early) + rows.between(early, late) + rows.between(late, 10**9)
    assert parts == rows
    assert as_set(rows + Rows.of(other, 2)) == sorted(map(msgspec.structs.astuple, [*one, *other]))


@given(row_lists())
def test_instances_are_known_from_their_first_interval(listed):
    first = Rows.of(listed, 2).instances()
    assert set(first) == {(row.role, row.instance) for row in listed}
    for (role, name), interval in first.items():
        assert interval == min(row.interval for row in listed if (row.role, row.instance) == (role, name))


@given(st.binary(max_size=200))
def test_bytes_that_are_not_rows_are_refused_by_name(data):
    for damaged in (data, zlib.compress(data)):
        with pytest.raises(CountsError, match="packed rows"):
            Rows.unpack(damaged)


COLUMNS = ["role", "interval", "instance", "operation", "rows", "requests", "cold", "bad"]


def altered(**change):
    """ROW as `pack` writes it, with fields of the stored form replaced; a column by its one value."""
    packed = msgspec.msgpack.decode(zlib.decompress(Rows.of([ROW], 1).pack()), type=counts._Packed)
    columns = list(packed.columns)
    for name in COLUMNS:
        if name in change:
            columns[COLUMNS.index(name)] = ("<u1", change.pop(name), bytes(1))
    return zlib.compress(msgspec.msgpack.encode(replace(packed, **{"columns": tuple(columns), **change})))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: altered(version=2), "version 2, this code reads 1"),
        (lambda: altered(indicators=2), "8 columns for 2 indicators"),
        (lambda: altered(indicators=-1, columns=(("<u1", 0, bytes(1)),) * 6), "6 columns for -1 indicators"),
        (lambda: altered(role=2), "role 2 is none of 2"),
        (lambda: altered(role=-1), "role -1 is none of 2"),
        (lambda: altered(instance=1), "instance 1 is none of 1"),
        (lambda: altered(operation=1), "operation 1 is none of 1"),
        (lambda: altered(bad=11), r"row 0: counts \[10, 10, 2, 11\] cannot be"),
        (lambda: altered(cold=11), r"row 0: counts \[10, 10, 11, 1\] cannot be"),
        (lambda: altered(requests=-1), r"row 0: counts \[10, -1, 2, 1\] cannot be"),
        (lambda: altered()[:-3], "not complete"),
        (lambda: zlib.compress(bytes(counts.PACKED_LIMIT + 1)), "or more than 67108864 bytes"),
    ],
)
def test_stored_rows_that_cannot_be_are_refused_by_name(data, says):
    assert Rows.unpack(altered()) == Rows.of([ROW], 1)
    with pytest.raises(CountsError, match=says):
        Rows.unpack(data())


def test_an_hour_of_ten_instances_and_eleven_operations_packs_into_tens_of_kib():
    rng = np.random.default_rng(1)
    listed = [
        Row(role, minute * 60, f"{role}-{instance:032x}", f"GET /{operation}", n, n, 0, (n // 200, n // 50, n // 20))
        for minute in range(60)
        for role, mean in ((Role.CANARY, 2), (Role.BASELINE, 18))
        for instance in range(10)
        for operation in range(11)
        for n in [int(rng.poisson(mean))]
    ]
    assert len(Rows.of(listed, 3).pack()) < 64 * 1024


ROW = Row(Role.CANARY, 60, "a", "GET /", 10, 10, 2, (1,))
replace = msgspec.structs.replace


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bad": (11,)}, r"row 1: bad\[0\] is 11, more than its 10 rows"),
        ({"bad": (1, 2)}, r"row 1: bad has 2 values, must be 1"),
        ({"bad": (-1,)}, r"row 1: bad\[0\] is -1"),
        ({"bad": (float("nan"),)}, r"row 1: bad\[0\] is nan, must be a whole number"),
        ({"rows": -5}, "row 1: rows is -5"),
        ({"requests": 2**53}, r"row 1: requests is 9007199254740992, must be from 0 to 2\^53"),
        ({"rows": True}, "row 1: rows is True, must be a whole number"),
        ({"requests": None}, "row 1: requests is None, must be a whole number"),
        ({"cold": 11}, "row 1: cold is 11, more than its 10 rows"),
        ({"interval": 60.5}, "row 1: interval is 60.5, must be a whole number"),
        ({"role": "green"}, "row 1: role 'green', must be 'canary' or 'baseline'"),
        ({"interval": 0}, "row 1 repeats row 0"),
    ],
)
def test_rows_that_cannot_be_are_refused_with_row_and_value(change, says):
    first = replace(ROW, interval=0)
    with pytest.raises(CountsError, match=says):
        Rows.of([first, replace(ROW, **change)], 1)


def test_rows_of_different_policies_cannot_be_added():
    with pytest.raises(CountsError, match="1 and of 2 indicators"):
        Rows.of([ROW], 1) + Rows.empty(2)
