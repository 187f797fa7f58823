"""Tests are as slow as what has to be prepared for them."""

import pytest

from tests import marks


@pytest.fixture(scope="module")
def prepared():
    return object()


@pytest.fixture
def own(prepared):
    return prepared


def test_fixtures_of_others_are_shared_however_they_are_reached(own, tmp_path, request):
    assert marks.shared(request.node) == {("tests/test_marks.py", "prepared")}


def test_times_are_those_of_a_junit_file(tmp_path):
    path = tmp_path / "times.xml"
    path.write_text(
        '<testsuites><testsuite><testcase classname="tests.a.test_b" name="test_c[1]" '
        'time="2.5"/><testcase classname="tests.test_d" name="test_e" time="0.1"/>'
        "</testsuite></testsuites>"
    )
    found = {"tests/a/test_b.py::test_c[1]": 2.5, "tests/test_d.py::test_e": 0.1}
    assert marks.times(path) == found and list(marks.times(path)) == list(found)


FIXTURES = {
    "first": {"trained"},
    "second": {"trained", "quick"},
    "other": {"quick"},
    "long": {},
    "new": {"trained"},  # no run has it
}
RUNS = [
    {"first": 60.0, "second": 0.1, "other": 0.5, "gone": 9.0, "long": 7.0},
    {"other": 0.7, "second": 58.0, "first": 70.0},
]


@pytest.mark.parametrize(
    "limits, names",
    [
        ((5, 10), "first second new long"),  # nobody waited long for what was quick
        ((5, 57), "first second new long"),  # one run prepared it in less than 58
        ((5, 58), "first second long"),
        ((0.5, 60), "first second other long"),  # the longest of all runs counts
        ((65, 60), "first"),
    ],
)
def test_all_that_use_a_fixture_are_charged_with_what_it_took(limits, names):
    assert marks.above(limits, RUNS, FIXTURES) == set(names.split())
