"""The API collection of docs/examples, sent by newman as Postman sends it: every story ends as it says."""

import json
from pathlib import Path

import pytest
from django.conf import settings

from tests import processes
from tests.node import package_of_node

pytestmark = pytest.mark.browser

EXAMPLES = settings.BASE_DIR / "docs/examples"
COLLECTION = EXAMPLES / "shop.postman_collection.json"
ENVIRONMENT = EXAMPLES / "shop.postman_environment.json"
SECONDS = 180  # of which the late payment takes 15


@pytest.fixture
def newman() -> Path:
    """Return the program that sends a collection."""
    return package_of_node("newman") / "bin/newman.js"


def test_leads_each_story_to_its_end(newman, address, tmp_path):
    report = tmp_path / "report.json"
    options = ["--env-var", f"address={address}", "--reporters", "json", "--reporter-json-export", report]

    done = processes.run(["node", newman, "run", COLLECTION, "-e", ENVIRONMENT, *options], within=SECONDS)

    sent = json.loads(report.read_text(encoding="utf-8"))["run"]
    names = [
        item["name"] for folder in json.loads(COLLECTION.read_text(encoding="utf-8"))["item"] for item in folder["item"]
    ]
    assert [(failure["source"]["name"], failure["error"]["message"]) for failure in sent["failures"]] == []
    assert list(dict.fromkeys(execution["item"]["name"] for execution in sent["executions"])) == names
    assert done.status == 0
