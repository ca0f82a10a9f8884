"""The chapter "Testing Tinybird Pipes Locally" of the community analytics guide, as bash runs it.

What differs from its text: the port of the local workspace, the host and an unquoted placeholder of staging and
production, and `tb datasource append`, to which the client of this generation gives the file without `--file`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flows.flow_server import Server, running_server
from tb_client import REPOSITORY, Tb

INSIGHTS = REPOSITORY / "insights"

# Stands in for jq where the machine has none: `jq -r '.NAME'` and `jq -c '{record: .}'`.
JQ = """#!/usr/bin/env python3
import json, sys
option, program = sys.argv[1:]
for line in sys.stdin:
    if line.strip():
        value = json.loads(line)
        print(json.dumps({"record": value}) if program == "{record: .}" else value[program[1:]])
"""

SET_UP = """
cp .env.example .env

TB_TOKEN_LOCAL=$(curl -s "$LOCAL/tokens" | jq -r '.workspace_admin_token')
sed -i.example -E \
    -e "s#^TB_HOST_LOCAL=.*#TB_HOST_LOCAL=$LOCAL#" \
    -e "s#^TB_TOKEN_LOCAL=.*#TB_TOKEN_LOCAL=$TB_TOKEN_LOCAL#" \
    -e "s#^TB_HOST_(STAGING|PRODUCTION)=.*#TB_HOST_\\1=$STAGING#" \
    -e "s#^TB_TOKEN_(STAGING|PRODUCTION)=.*#TB_TOKEN_\\1=$STAGING_TOKEN#" \
    .env

set -a
source .env
set +a

# Authenticate to local Tinybird workspace
tb auth --host "$TB_HOST_LOCAL" --token "$TB_TOKEN_LOCAL"

# Authenticate to staging Tinybird workspace
tb auth --host "$TB_HOST_STAGING" --token "$TB_TOKEN_STAGING"

# Authenticate to production Tinybird workspace
tb auth --host "$TB_HOST_PRODUCTION" --token "$TB_TOKEN_PRODUCTION"
"""

EXPORT = """
curl -s -H "Authorization: Bearer $TB_TOKEN_STAGING" \
  --data-urlencode "q=SELECT id, name, slug, description, segmentId, createdAt, updatedAt, deletedAt, logoUrl, \
organizationId, website, github, linkedin, twitter, widgets, repositories, enabled, isLF, keywords \
FROM insightsProjects LIMIT 200 FORMAT JSONEachRow" \
  "$TB_HOST_STAGING/v0/sql" \
  | jq -c '{record: .}' > insightsProjects.ndjson

tb auth --host "$TB_HOST_LOCAL" --token "$TB_TOKEN_LOCAL"
"""

PREPARE = "tb push datasources/insightsProjects.datasource"
"""The guide takes for granted that the local workspace has the data source."""

APPEND = "tb datasource append insightsProjects insightsProjects.ndjson"
PUSH = "tb push --push-deps pipes/activities_filtered.pipe && tb push --push-deps pipes/activities_count.pipe"
PUSH_ALONE = "tb push pipes/activities_filtered.pipe --force"

CALL = """
curl -s "$LOCAL/v0/pipes/activities_count.json" \
  -G \
  --data-urlencode "project=umbertotest5" \
  --data-urlencode "token=$TB_TOKEN_LOCAL"
"""


class Guide:
    """Runs pieces of the chapter one after the other in one folder; those after the first load its `.env`."""

    def __init__(self, tb: Tb, local: Server, staging: Server) -> None:
        folder = tb.folder.parent / "bin"
        folder.mkdir()
        if shutil.which("jq") is None:
            (folder / "jq").write_text(JQ, "utf-8")
            (folder / "jq").chmod(0o755)
        variables = {"LOCAL": local.url, "STAGING": staging.url, "STAGING_TOKEN": staging.admin_token}
        path = f"{tb.environment['PATH']}:{folder}"
        self._tb = Tb(tb.folder, {**tb.environment, **variables, "PATH": path})

    def run(self, text: str) -> str:
        load = "if [ -f .env ]; then set -a; source .env; set +a; fi"
        outcome = self._tb.shell(["bash", "-c", f"set -euo pipefail\n{load}\n{text}"])
        assert outcome.code == 0, outcome.output
        return outcome.output


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "staging") as server:
        yield server


@pytest.fixture
def project_tb(signed_out_tb: Tb) -> Tb:
    """The client in a copy of the data project."""
    shutil.copytree(INSIGHTS, signed_out_tb.folder, dirs_exist_ok=True)
    return signed_out_tb


def fill_staging(staging: Server) -> int:
    """The projects as they were when the guide was written, with their repositories; how many there are."""
    text = (INSIGHTS / "datasources" / "insightsProjects.datasource").read_text("utf-8")
    older = text.replace(
        "    `enabled`", "    `repositories` Array(String) `json:$.record.repositories[:]`,\n    `enabled`"
    )
    staging.deploy({"datasources/insightsProjects.datasource": older})
    rows = (INSIGHTS / "fixtures" / "insightsProjects.ndjson").read_bytes()
    target = {"mode": "append", "format": "ndjson", "name": "insightsProjects"}
    assert staging.post("/v0/datasources", params=target, content=rows).status_code == 200
    return int(staging.sql("SELECT count() AS n FROM insightsProjects")[0]["n"])


def test_a_pipe_is_tested_locally_word_for_word(project_tb: Tb, server: Server, staging: Server) -> None:
    projects = fill_staging(staging)
    guide = Guide(project_tb, server, staging)

    assert guide.run(SET_UP).count("Auth successful") == 3

    guide.run(EXPORT)
    exported = [
        json.loads(line) for line in (project_tb.folder / "insightsProjects.ndjson").read_text("utf-8").splitlines()
    ]
    assert len(exported) == projects > 0
    assert all(row["record"]["repositories"] == [] for row in exported)

    assert "'insightsProjects' created" in guide.run(PREPARE)
    assert f"Appended {projects} new rows" in guide.run(APPEND)
    assert server.sql("SELECT count() AS n FROM insightsProjects") == [{"n": projects}]
    original = staging.sql("SELECT * EXCEPT repositories FROM insightsProjects ORDER BY id")
    assert server.sql("SELECT * FROM insightsProjects ORDER BY id") == original

    assert "'activities_filtered' created" in guide.run(PUSH)
    assert json.loads(guide.run(CALL))["data"] == [{"activityCount": 0}]
    assert "'activities_filtered' created" in guide.run(PUSH_ALONE)
    assert json.loads(guide.run(CALL))["data"] == [{"activityCount": 0}]


def test_the_backup_of_a_data_source_is_consistent(project_tb: Tb, server: Server, staging: Server) -> None:
    """The chapter "Creating a Backup Datasource in Tinybird"."""
    schema = (project_tb.folder / "datasources" / "activities.datasource").read_text("utf-8")
    project_tb.write(
        {
            "datasources/activities_backup.datasource": schema,
            "pipes/activities_backup_mv.pipe": "NODE rows_as_they_come\nSQL >\n    SELECT * FROM activities\n\n"
            "TYPE materialized\nDATASOURCE activities_backup\n",
        }
    )
    guide = Guide(project_tb, server, staging)
    guide.run(SET_UP)
    guide.run('tb auth --host "$TB_HOST_LOCAL" --token "$TB_TOKEN_LOCAL"')
    guide.run("tb push datasources/activities.datasource datasources/activities_backup.datasource")
    guide.run("tb datasource append activities fixtures/activities.ndjson")
    guide.run("tb push pipes/activities_backup_mv.pipe --populate --force --wait")
    guide.run("tb datasource append activities fixtures/activities.ndjson")

    lines = len((INSIGHTS / "fixtures" / "activities.ndjson").read_text("utf-8").splitlines())
    assert server.sql("SELECT count() AS n FROM activities_backup") == [{"n": 2 * lines}]
    for question in ("uniqExact(id) FROM activities{}", "count() FROM activities{} FINAL"):
        counted = [guide.run(f'tb sql "SELECT {question.format(name)}"') for name in ("", "_backup")]
        assert counted[0] == counted[1]
        assert f" {lines} |" in counted[0]
