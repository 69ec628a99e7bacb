from tests.bench.profiling import Profile
from tests.processes import PROJECT

LIBRARY = "/usr/lib/python3.11/site-packages"
SAMPLES = f"""\
process 17:"gunicorn";create ({PROJECT}/orders/api.py:10);save ({LIBRARY}/django/db/models/base.py:5) 6
create ({PROJECT}/orders/api.py:12);create ({PROJECT}/orders/api.py:14) 2
create ({PROJECT}/orders/api.py:12);view ({LIBRARY}/django/views.py:1) 1
dumps (/usr/lib/python3.11/json/__init__.py:231) 1
"""


def test_user_time_is_shared_out_by_samples():
    tables = dict(Profile(SAMPLES).tables(user=5, system=1.5))

    assert tables == {
        "in system calls": {"all": 1.5},
        "by package": {"django.db": 3, "orders": 1, "django": 0.5, "Python's library": 0.5},
        "by function": {
            "save (django/db/models/base.py)": 3,
            "create (orders/api.py)": 1,
            "view (django/views.py)": 0.5,
            "dumps (json/__init__.py)": 0.5,
        },
        "by function of ours, with what it calls": {"create (orders/api.py)": 4.5},
    }
