"""
Models whose status follows a table of transitions.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from django.db import models


class InvalidTransition(Exception):
    """
    `TRANSITIONS` has no such step from the current status; nothing was changed.
    """


class StateMachineModel(models.Model):
    """
    A model whose status changes only by the steps of `TRANSITIONS`: the next statuses by each status.
    """

    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]]
    status: "models.CharField[str, str]"

    class Meta:
        abstract = True

    @classmethod
    def move_to(cls, status: str, rows: Sequence[Self], **changes: object) -> None:
        """
        Set the status of these locked rows, and further fields, in the database and on the instances.

        :raises InvalidTransition: if a row has no step to `status`, or its status was changed meanwhile.
        """
        sources = [source for source, targets in cls.TRANSITIONS.items() if status in targets]
        movable = cls._default_manager.filter(pk__any=[row.pk for row in rows], status__in=sources)
        moved = movable.update(status=status, **changes)
        if moved != len(rows):
            names = cls._meta.verbose_name_plural
            raise InvalidTransition(f"{len(rows) - moved} of {len(rows)} {names} may not become {status}.")
        for row in rows:
            for field, value in {"status": status, **changes}.items():
                setattr(row, field, value)
