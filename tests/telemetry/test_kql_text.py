"""Strings in KQL text: whatever they hold, they stay strings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.app_insights_kql import instant, quotable, quoted
from lab.kql_lifting import lift
from lab.log_analytics import LogAnalytics

hostile = st.text(max_size=12) | st.text("\"'\\|;/\n\r\t]@[)(, ", max_size=12)
logs = LogAnalytics(lambda: 0.0)


@settings(max_examples=150, deadline=None)
@given(st.lists(hostile.filter(quotable), min_size=1, max_size=4))
def test_a_quoted_string_is_read_back_as_it_was(texts):
    cells = ", ".join(quoted(text) for text in texts)
    for query in (f"datatable(x:string)[{cells}]", "print " + cells):
        rows = logs.query(query).rows
        assert [cell for row in rows for cell in row] == texts


@given(st.text())
def test_what_is_quoted_is_one_literal_without_line_ends(text):
    if not quotable(text):
        with pytest.raises(ValueError, match="character"):
            quoted(text)
        return
    literal = quoted(text)
    inside = literal[1:-1].replace("\\\\", "").replace('\\"', "")
    assert literal[0] == literal[-1] == '"'
    assert '"' not in inside
    assert len(literal.splitlines()) == 1


@given(hostile.filter(quotable), st.integers(-(10**9), 4 * 10**9), st.floats(allow_nan=False, allow_infinity=False))
def test_lifted_literals_are_those_of_the_text(text, seconds, number):
    query = (
        f"let t = datatable(a:string, b:datetime, c:real, d:bool)[{quoted(text)}, {instant(seconds)},"
        f" real({number!r}), true, 'x', datetime(null), real(null), false]; // ] datatable(\n"
        f"t | where a == {quoted(text)} and b < {instant(seconds)}"
    )
    lifted = lift(query)
    ((name, table),) = lifted.tables.items()
    ((parameter, moment),) = lifted.moments.items()
    assert table.rows == [(text, moment, number, True), ("x", None, None, False)]
    assert f"let t = {name};" in lifted.text
    assert lifted.text.endswith(f"t | where a == {quoted(text)} and b < {parameter}")


@pytest.mark.parametrize(
    "query",
    [
        "print 'datetime(2024-01-01)'",
        "let t = datatable(a:dynamic)[dynamic([1])]; t",
        "let t = datatable(a:long)[1 + 1]; t",
        "let t = datatable(a:long, b:long)[1, 2, 3]; t",
        "declare query_parameters(x:long = 5); print x",
        "print datetime(now)",
        "print 1 // datatable(x:long)[1]",
    ],
)
def test_what_is_not_understood_stays_in_the_text(query):
    assert lift(query).text == query
