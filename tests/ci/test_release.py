"""
A release has one version, and the files of its hosting site are valid.
"""

import re

import pytest
import yaml
from django.conf import settings

from tests.ci.test_compose import PINNED
from tests.ci.test_dependencies import PROJECT

ROOT = settings.BASE_DIR
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def test_all_files_name_the_same_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    [version, date] = re.search(r"^## \[([\d.]+)\] - (\S+)$", changelog, re.MULTILINE).groups()

    assert (PROJECT["project"]["version"], citation["version"], citation["date-released"]) == (version, version, date)


def test_the_workflow_runs_the_declared_pythons_with_pinned_actions_and_images():
    everything = WORKFLOW["jobs"]["everything"]
    declared = [name.split()[-1] for name in PROJECT["project"]["classifiers"] if "Python :: 3." in name]
    actions = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]

    assert everything["strategy"]["matrix"]["python"] == declared
    assert everything["steps"][-1]["run"].endswith(".ci/run")
    assert all(re.fullmatch(r"[a-z-]+/[a-z-]+@v\d+\.\d+\.\d+", action) for action in actions)
    assert all(PINNED.fullmatch(service["image"]) for service in everything["services"].values())


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_ask_for_something_required(name):
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))

    assert any(field.get("validations", {}).get("required") for field in form["body"])
