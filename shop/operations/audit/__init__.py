"""
Invariants over all contexts, which hold at every commit. The checks are read-only.
"""

from .copy import NoConsistentState
from .report import CHECKS, RULES, SUBJECTS, AuditReport, CheckResult, Verdict, run

__all__ = ["CHECKS", "RULES", "SUBJECTS", "AuditReport", "CheckResult", "NoConsistentState", "Verdict", "run"]
