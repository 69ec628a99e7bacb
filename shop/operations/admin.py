"""
Admin pages of recorded audits, and of what they found.
"""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join

from messaging.kernel.admin import ReadOnly, link_to_rows, moment
from messaging.kernel.links import link_to

from .audit import SUBJECTS
from .models import AuditRun, AuditViolation


@admin.register(AuditViolation)
class AuditViolationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("rule", "link_to_subject", moment("found_at"))
    list_filter = ("rule",)
    list_display_links = None
    ordering = ("rule", "subject")
    search_fields = ("=subject",)
    show_full_result_count = False
    fields = ("rule", "link_to_subject", "found_at")
    readonly_fields = ("link_to_subject",)

    @admin.display(description="subject", ordering="subject")
    def link_to_subject(self, violation: AuditViolation) -> str:
        model, about = SUBJECTS.get(violation.rule), violation.subject.partition(" ")[0]
        if model == "orders_order":
            return link_to("admin: order", about)
        return link_to_rows(model, about) if model else violation.subject


@admin.register(AuditRun)
class AuditRunAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (moment("started_at"), "verdict", "seconds", "violated")
    list_filter = ("verdict",)
    date_hierarchy = "started_at"
    ordering = ("-id",)
    fields = ("started_at", "seconds", "verdict", "last_message", "checks")
    readonly_fields = ("checks",)

    @admin.display
    def violated(self, run: AuditRun) -> str:
        return ", ".join(
            f"{check['id']}: {check['violations']}" for check in run.report["checks"] if check["violations"]
        )

    @admin.display
    def checks(self, run: AuditRun) -> str:
        return format_html_join("", "<p>{} {}: {}{}</p>", map(_described, run.report["checks"]))


def _described(check: dict[str, Any]) -> tuple[str, str, str, str]:
    about = f", {check['evaluated']} rows"
    if check["violations"]:
        about += f", {check['violations']} violations, for example {', '.join(check['examples'])}"
    if check["reason"]:
        about += f", because {check['reason']}"
    return check["verdict"], check["id"], check["rule"], about
