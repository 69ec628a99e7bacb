"""
What recorded audits found.
"""

from typing import ClassVar

from django.db import models

from messaging.kernel.ids import new_id

from .audit import Verdict


class AuditRun(models.Model):
    """
    A recorded audit: when it ran, for how long, on which state of the database, and the result of each check.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    started_at = models.DateTimeField()
    seconds = models.FloatField(help_text="How long it took.")
    verdict = models.CharField(max_length=9, choices=[(verdict.value, verdict.value) for verdict in Verdict])
    last_message = models.UUIDField(null=True, help_text="The newest message in the state that it examined.")
    report = models.JSONField(help_text="The result of each check, with up to five examples of violations.")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} UTC: {self.verdict}"


class AuditViolation(models.Model):
    """
    What violated a rule in the last recorded audit that examined it.
    """

    rule = models.CharField(max_length=5, help_text="The id of the check, such as O3.")
    subject = models.CharField(max_length=300, help_text="A sku, a currency, or the id of an order or of another row.")
    found_at = models.DateTimeField(help_text="When an audit found it first.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["rule", "subject"], name="one_violation_per_subject")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}"
