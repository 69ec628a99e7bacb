from django.conf import settings

from tests.messaging.transports import test_conformance, test_torture
from tests.messaging.transports.cases import CASES, COLUMNS, names_of_tests
from tests.messaging.transports.table import FOLDER, PAGE, PASSED, rows_of

ROWS = {title: cells for title, *cells in rows_of(PAGE.read_text(encoding="utf-8"))}


def test_cases_are_the_tests_of_the_suite():
    assert {*names_of_tests(test_conformance), *names_of_tests(test_torture)} == CASES.keys()


def test_page_lists_each_case_that_exists():
    assert list(ROWS) == [case.title for case in CASES.values()]


def test_page_says_of_each_transport_that_a_case_passed_or_why_it_does_not_apply():
    listed = {title: cells[2 : 2 + len(COLUMNS)] for title, cells in ROWS.items()}

    assert listed == {
        case.title: [case.not_over.get(transport, PASSED) for transport in COLUMNS] for case in CASES.values()
    }


def test_page_says_of_both_databases_what_the_named_test_showed():
    for case in CASES.values():
        sqlite, postgres, *_, test = ROWS[case.title]
        if "::" in case.in_process:
            assert (postgres, test) == (PASSED, f"`{FOLDER}/{case.in_process}`")
            assert sqlite == PASSED or sqlite.startswith("SQLite ")
        else:
            assert (sqlite, postgres) == (case.in_process, case.in_process)


def test_named_tests_exist():
    for case in CASES.values():
        if "::" in case.in_process:
            file, class_, test = case.in_process.split("::")
            text = (settings.BASE_DIR / FOLDER / file).read_text(encoding="utf-8")
            assert f"class {class_}" in text
            assert f"def {test}(" in text
