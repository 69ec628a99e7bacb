import pytest

from tests.bench.work import require_work

BEFORE = {"orders placed": 5, "webhooks stored": 5, "mails of other kinds": 1, "dead letters": 1}
AFTER_THREE_ORDERS = {"orders placed": 8, "webhooks stored": 8, "mails of other kinds": 1, "dead letters": 1}


def test_every_order_has_to_be_served_once():
    require_work(BEFORE, AFTER_THREE_ORDERS, orders=3)


@pytest.mark.parametrize("changed", [{"webhooks stored": 7}, {"webhooks stored": 9}, {"dead letters": 2}])
def test_other_work_is_an_error(changed):
    with pytest.raises(AssertionError, match=f"not done as measured: {{'{next(iter(changed))}': "):
        require_work(BEFORE, AFTER_THREE_ORDERS | changed, orders=3)
