"""
Models whose status moves along a table of allowed transitions.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from django.db import models


class InvalidTransition(Exception):
    """
    `TRANSITIONS` does not allow this step from the present status; nothing was changed.
    """


class StateMachineModel(models.Model):
    """
    What has a status that moves by the steps of `TRANSITIONS` only.
    """

    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]]
    status: "models.CharField[str, str]"

    class Meta:
        abstract = True

    @classmethod
    def move_to(cls, status: str, rows: Sequence[Self], **changes: object) -> None:
        """
        Move these locked rows, each by a step that `TRANSITIONS` allows, and make these changes to all of them.

        :raises InvalidTransition: if one of them may not become `status`, or has moved meanwhile.
        """
        sources = [source for source, targets in cls.TRANSITIONS.items() if status in targets]
        found = cls._default_manager.filter(pk__in=[row.pk for row in rows], status__in=sources)
        moved = found.update(status=status, **changes)
        if moved != len(rows):
            names = cls._meta.verbose_name_plural
            raise InvalidTransition(f"{len(rows) - moved} of {len(rows)} {names} may not become {status}.")
        for row in rows:
            for field, value in {"status": status, **changes}.items():
                setattr(row, field, value)
