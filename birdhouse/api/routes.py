"""The table of contents: every URL, in the order of the reference."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from birdhouse.api import (
    analyses,
    connectors,
    copies,
    datasources,
    dependencies,
    deployments,
    endpoints,
    events,
    health,
    imports,
    jobs,
    local,
    nodes,
    openapi,
    pipes,
    service_datasources,
    sql,
    sql_helpers,
    tags,
    tokens,
    workspaces,
)
from birdhouse.api.auth import authenticated as to

ROUTES: Sequence[Route] = [
    # Queries
    Route("/v0/sql", to(sql.run), methods=["GET", "POST"]),
    Route("/v0/sql_tables", to(sql_helpers.used_tables), methods=["POST"]),
    Route("/v0/sql_replace", to(sql_helpers.replaced), methods=["POST"]),
    Route("/v0/sql_format", to(sql_helpers.formatted)),
    Route("/v0/pipes/openapi.json", to(openapi.show)),
    Route("/v1/pipes/{name}.pipe", to(pipes.datafile)),
    Route("/v0/pipes/{name}.pipe", to(pipes.datafile)),
    Route("/v0/pipes/{name}.{format}", to(endpoints.run), methods=["GET", "POST"]),
    # Rows
    Route("/v0/events", to(events.append), methods=["POST"]),
    # Data sources
    Route("/v0/datasources", to(datasources.index), methods=["GET"]),
    Route("/v0/datasources", to(imports.create), methods=["POST"]),
    Route("/v0/datasources/exchange", to(datasources.exchange), methods=["POST"]),
    Route("/v0/datasources/{name}.datasource", to(datasources.datafile), methods=["GET"]),
    Route("/v0/datasources/{name}", to(datasources.show), methods=["GET"]),
    Route("/v0/datasources/{name}", to(datasources.update), methods=["PUT"]),
    Route("/v0/datasources/{name}", to(datasources.delete), methods=["DELETE"]),
    Route("/v0/datasources/{name}/alter", to(datasources.alter), methods=["POST"]),
    Route("/v0/datasources/{name}/truncate", to(datasources.truncate), methods=["POST"]),
    Route("/v0/datasources/{name}/delete", to(datasources.delete_rows), methods=["POST"]),
    Route("/v1/datasources/{name}/delete", to(datasources.delete_rows), methods=["POST"]),
    Route("/v0/datasources/{name}/scheduling/state", to(datasources.scheduling), methods=["GET", "PUT"]),
    Route("/v0/datasources/{name}/scheduling/runs", to(datasources.scheduling), methods=["POST"]),
    Route("/v0/datasources/{name}/share", to(datasources.share), methods=["POST", "DELETE"]),
    Route("/v0/analyze", to(analyses.create), methods=["POST"]),
    Route("/v0/dependencies", to(dependencies.index), methods=["GET"]),
    # Pipes
    Route("/v0/pipes", to(pipes.index), methods=["GET"]),
    Route("/v0/pipes", to(pipes.create), methods=["POST"]),
    Route("/v0/pipes/{name}", to(pipes.show), methods=["GET"]),
    Route("/v0/pipes/{name}", to(pipes.update), methods=["PUT"]),
    Route("/v0/pipes/{name}", to(pipes.delete), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes", to(nodes.append), methods=["POST"]),
    Route("/v0/pipes/{name}/nodes/{node}", to(nodes.delete_node), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes/{node}/endpoint", to(nodes.publish), methods=["POST", "PUT"]),
    Route("/v0/pipes/{name}/nodes/{node}/endpoint", to(nodes.unlink), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes/{node}/materialization", to(nodes.materialize), methods=["POST"]),
    Route("/v0/pipes/{name}/nodes/{node}/materialization", to(nodes.unlink), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes/{node}/analysis", to(nodes.analyze), methods=["GET"]),
    Route("/v0/pipes/{name}/nodes/{node}/population", to(nodes.populate), methods=["POST"]),
    Route("/v0/pipes/{name}/nodes/{node}/copy", to(nodes.set_copy), methods=["POST", "PUT"]),
    Route("/v0/pipes/{name}/nodes/{node}/copy", to(nodes.unlink), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes/{node}/sink", to(nodes.unlink), methods=["DELETE"]),
    Route("/v0/pipes/{name}/nodes/{node}/stream", to(nodes.unlink), methods=["DELETE"]),
    Route("/v0/pipes/{name}/copy", to(copies.run), methods=["POST"]),
    # Jobs
    Route("/v0/jobs", to(jobs.index)),
    Route("/v0/jobs/{name}", to(jobs.show)),
    Route("/v0/jobs/{name}/cancel", to(jobs.cancel), methods=["POST"]),
    # Tokens
    Route("/v0/tokens", to(tokens.index), methods=["GET"]),
    Route("/v0/tokens", to(tokens.create), methods=["POST"]),
    Route("/v0/tokens/{name:path}.token", to(tokens.datafile)),
    Route("/v0/tokens/{name:path}/refresh", to(tokens.refresh), methods=["POST"]),
    Route("/v0/tokens/{name:path}", to(tokens.show), methods=["GET"]),
    Route("/v0/tokens/{name:path}", to(tokens.change), methods=["PUT"]),
    Route("/v0/tokens/{name:path}", to(tokens.delete), methods=["DELETE"]),
    # Tags
    Route("/v0/tags", to(tags.index), methods=["GET"]),
    Route("/v0/tags", to(tags.create), methods=["POST"]),
    Route("/v0/tags/{name:path}", to(tags.change), methods=["PUT"]),
    Route("/v0/tags/{name:path}", to(tags.delete), methods=["DELETE"]),
    # Workspaces
    Route("/v0/workspace", to(workspaces.current)),
    Route("/v0/user/workspaces", to(workspaces.of_user)),
    Route("/v1/user/workspaces", to(workspaces.of_user)),
    Route("/v0/auth", to(workspaces.identify)),
    Route("/v0/regions", to(workspaces.regions)),
    Route("/v0/templates", to(workspaces.templates)),
    Route("/v0/workspaces", to(workspaces.refuse_workspace), methods=["POST"]),
    Route("/v1/workspaces", to(workspaces.refuse_workspace), methods=["POST"]),
    Route("/v0/workspaces/{name}", to(workspaces.show), methods=["GET"]),
    Route("/v0/workspaces/{name}", to(workspaces.refuse_workspace), methods=["DELETE"]),
    Route("/v1/workspaces/{name}", to(workspaces.refuse_workspace), methods=["DELETE"]),
    Route("/v0/workspaces/{name}/users", to(workspaces.refuse_members), methods=["PUT"]),
    Route("/v0/workspaces/{name}/releases", to(workspaces.releases), methods=["GET"]),
    Route("/v0/workspaces/{name}/releases", to(workspaces.refuse_release), methods=["POST"]),
    Route("/v0/workspaces/{name}/releases/{release}", to(workspaces.refuse_release), methods=["GET", "PUT", "DELETE"]),
    Route("/v0/environments", to(workspaces.branches), methods=["GET"]),
    Route("/v0/environments", to(workspaces.refuse_branch), methods=["POST"]),
    Route("/v0/environments/{name:path}", to(workspaces.refuse_branch), methods=["POST", "DELETE"]),
    # Connections
    Route("/v0/connectors", to(connectors.index), methods=["GET"]),
    Route("/v0/connectors", to(connectors.refuse), methods=["POST"]),
    Route("/v0/connectors/{name}", to(connectors.missing), methods=["GET", "DELETE"]),
    Route("/v0/connections", to(connectors.index)),
    Route("/v0/connections/bigquery", to(connectors.bigquery)),
    # Projects
    Route("/v0/deployments", to(deployments.create), methods=["POST"]),
    # Monitoring
    Route("/v0/service_datasources/refresh", to(service_datasources.refresh), methods=["POST"]),
    # The server
    Route("/tokens", local.tokens),
    Route("/health", health.health),
    Route("/v0/health", health.health),
    Route("/metrics", health.metrics),
]
