"""
Invariants over all contexts, which hold at every commit. The checks are read-only.
"""

from .report import CHECKS, AuditReport, CheckResult, Verdict, run

__all__ = ["CHECKS", "AuditReport", "CheckResult", "Verdict", "run"]
