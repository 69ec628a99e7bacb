"""
What must always hold, at every commit and over all contexts: the one place that looks across them, and never writes.
"""

from .report import CHECKS, Report, Result, Verdict, run

__all__ = ["CHECKS", "Report", "Result", "Verdict", "run"]
