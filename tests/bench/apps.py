import os
from pathlib import Path

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "tests.bench"

    def ready(self) -> None:
        """Let a service stamp events: after the others, whose functions it wraps."""
        if folder := os.environ.get("BENCH_STAGES"):
            from .stages import record

            record(Path(folder))
