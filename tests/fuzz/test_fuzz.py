"""A short run of the fuzz with a fixed seed. `make fuzz` is the long one."""

import os

from tests.fuzz.comparison import compare

SEED = 9457
REQUESTS = 400


def test_no_request_fails_or_depends_on_the_database():
    report = compare(REQUESTS, seed=SEED, database_url=os.environ.get("DATABASE_URL", ""))

    assert not report.faults, report.summary()
    assert report.statuses.keys() >= {200, 201, 400, 401, 404, 405, 406, 415}
