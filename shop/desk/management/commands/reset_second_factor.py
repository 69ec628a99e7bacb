from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from shop.desk import second_factor


class Command(BaseCommand):
    help = (
        "Remove the second factor of someone who lost it, with the backup codes. The admin asks for none then, or has "
        "it set up again if SECOND_FACTOR_REQUIRED is on. Verify by another way who asks for this. It may be run "
        "again. Exit status: 0 if done or if there was none, 1 if there is no such user."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="of whom")

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        removed = second_factor.remove(user)
        self.stdout.write("The second factor is removed." if removed else "The user had no second factor.")
