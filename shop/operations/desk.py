"""
What the operator's desk shows of audits: the rules that the last one found violated.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count

from shop.http.desk import LIMIT, Concern, Item, list_url, reports

from .audit import RULES
from .models import AuditViolation

VIEW_VIOLATIONS = "operations.view_auditviolation"


@reports(VIEW_VIOLATIONS)
def show_violations(now: datetime) -> Iterator[Item]:
    counted = AuditViolation.objects.values_list("rule").annotate(number=Count("pk")).order_by("rule")
    for rule, number in counted:
        yield Concern(
            title=f"Violations of {rule}: {RULES.get(rule, 'a rule of another release')}",
            count=min(number, LIMIT + 1),
            url=list_url("operations_auditviolation", rule__exact=rule),
            permission=VIEW_VIOLATIONS,
            advice="The audit found them. Trace one of the orders before you change anything: see the runbook.",
        )
