import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

SCRIPT = Path(".ci", "check_commits.py")
BARE_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


class Repository:
    """
    A git repository in a folder of its own, with the check in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / SCRIPT.parent).mkdir(parents=True)
        shutil.copy(settings.BASE_DIR / SCRIPT, folder / SCRIPT)

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, env=BARE_ENVIRONMENT, check=True)

    def commit(self, message: str, *, lines: int = 1) -> None:
        with (self.folder / "file").open("a", encoding="utf-8") as file:
            file.write("line\n" * lines)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def check(self, *arguments: str, folder: Path | None = None) -> tuple[int, str]:
        """
        Return exit status and output of the check.
        """
        command = [sys.executable, str(SCRIPT), *arguments]
        folder = folder or self.folder
        done = subprocess.run(
            command, cwd=folder, env=BARE_ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path) -> Repository:
    """
    A repository with a long old subject before the commit that adds the check.
    """
    repository = Repository(tmp_path / "repository")
    script = (repository.folder / SCRIPT).read_text(encoding="utf-8")
    (repository.folder / SCRIPT).unlink()
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit(f"Told long ago, before the check: {'x' * 60}.")
    (repository.folder / SCRIPT).write_text(script, encoding="utf-8")
    repository.commit("Check commit messages")
    return repository


class TestHistory:
    def test_passes_with_old_subjects_and_good_new_ones(self, repository):
        repository.commit("Add a line")
        repository.commit("Embed a large file\n\nIt is generated, and must match its source.", lines=1_501)

        assert repository.check() == (0, "Commits checked: 2.\n")

    def test_fails_with_each_bad_new_subject(self, repository):
        repository.commit("Added a line")
        repository.commit("Add a line")

        problem = "The subject does not begin with a capitalised verb in the imperative, such as Add or Fix."
        assert repository.check() == (1, f"'Added a line': {problem}\n")

    @pytest.mark.parametrize("body", ["", "\n\nCo-authored-by: Bob <bob@example.com>"])
    def test_fails_with_a_large_change_without_a_reason(self, repository, body):
        repository.commit("Add many lines" + body, lines=1_501)

        problem = "The body does not say why one commit changes 1501 lines."
        assert repository.check() == (1, f"'Add many lines': {problem}\n")

    def test_checks_what_a_shallow_clone_has(self, repository, tmp_path):
        repository.commit("Added a line")
        repository.commit("Add a line")
        source = f"file://{repository.folder}"
        for depth in ("1", "2", "3"):
            repository.git("clone", "--quiet", "--depth", depth, source, str(tmp_path / depth))

        assert [repository.check(folder=tmp_path / depth)[0] for depth in ("1", "2", "3")] == [0, 0, 1]

    def test_passes_without_a_repository(self, tmp_path):
        unpacked = Repository(tmp_path / "archive")

        assert unpacked.check() == (0, "No commits checked: this is not a git repository.\n")


class TestMessage:
    @pytest.mark.parametrize(
        "subject",
        ["Add a line", "Process webhooks in order", "Bring back the index", "Un-park webhooks", "A" + "d" * 57 + " x"],
    )
    def test_passes(self, repository, subject):
        (repository.folder / "message").write_text(f"{subject}\n\n# Please enter the commit message.\n")

        assert repository.check("message") == (0, "Commits checked: 1.\n")

    @pytest.mark.parametrize(
        ("subject", "problem"),
        [
            ("A" + "d" * 58 + " x", "The subject has 61 characters"),
            ("Add a line.", "The subject ends in a period"),
            *[
                (subject, "does not begin with a capitalised verb")
                for subject in ("Adds a line", "Adding a line", "add a line", "fix: add a line", "The line", "")
            ],
        ],
    )
    def test_fails(self, repository, subject, problem):
        (repository.folder / "message").write_text(f"{subject}\n")

        status, output = repository.check("message")

        assert status == 1
        assert problem in output

    def test_counts_the_staged_lines(self, repository):
        (repository.folder / "large").write_text("line\n" * 1_501)
        repository.git("add", "large")
        (repository.folder / "message").write_text("Add a large file\n")

        assert "changes 1501 lines" in repository.check("message")[1]
