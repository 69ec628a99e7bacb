from functools import partial

import pytest

from tests.bench.environment import environment
from tests.bench.mail import mails_of_orders
from tests.bench.products import open_shop
from tests.bench.programs import whole_shop
from tests.bench.shop import place_to_mail
from tests.bench.usage import memory
from tests.bench.web import make_callers, place_over_http
from tests.processes import database_url
from tests.programs import MailServer


@pytest.mark.django_db(transaction=True)
def test_a_run_measures_orders_until_their_mails_and_fails_if_a_webhook_is_refused(tmp_path):
    open_shop()
    callers = make_callers(2, signing=False)
    mail_server = MailServer(tmp_path / "mail_server.log", tmp_path / "mails.log")
    variables = environment(tmp_path, database_url()) | mail_server.settings
    with mail_server, whole_shop(tmp_path, latency=0, workers=1, web_processes=1, environment=variables) as shop:
        figures = place_to_mail(shop, callers, orders=20, connections=2) | memory(shop.roots)

        assert figures.pop("gateway requests per order: look_up") < 1, "webhooks are taken as answers"
        # Twenty orders may take less time in system calls than a clock tick of 10 ms.
        zero = {name for name, figure in figures.items() if not figure and "system calls" not in name}
        assert zero == set()
        assert figures["gateway requests per order: charge"] == 1
        assert figures["orders/s complete"] < figures["orders/s accepted"]
        assert figures["placed to confirmed, p50 s"] > 0.1, "before its webhook"

        place = partial(place_over_http, shop.port, callers, connections=2)
        mails = mails_of_orders(mail_server.mails, shop.roots, lambda orders: place(orders=orders), orders=10)
        assert mails["mails/s"] == 2 * mails["orders/s"]
        assert len(mail_server.mails.accepted()) == 60

        with pytest.raises(AssertionError, match="The shop refused a webhook"):
            place_to_mail(shop, callers, orders=2, connections=1, payment_method="tok_bad_signature")
