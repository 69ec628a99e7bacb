"""
A short run of the fuzz, on requests that are the same every time. `make fuzz` is the long one.
"""

import os

from tests.fuzz.comparison import compare

SEED = 9457
REQUESTS = 400


def test_no_request_makes_the_shop_fail_or_tells_its_database():
    report = compare(REQUESTS, seed=SEED, database_url=os.environ.get("DATABASE_URL", ""))

    assert not report.faults, report.written()
    assert report.statuses.keys() >= {200, 201, 400, 401, 404, 405, 406, 415}
