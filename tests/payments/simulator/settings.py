"""
The shop's settings, with a database that cannot be opened and a webhook secret.
"""

from dataclasses import replace

from shop.settings import *  # noqa: F403
from shop.settings import PAYMENTS
from tests.simulators import SECRET

PAYMENTS = replace(PAYMENTS, webhook_secrets=(SECRET,))
