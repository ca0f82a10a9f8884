"""Birdhouse: a self-hosted home for Tinybird Classic projects.

The folders are floors; each imports only from those above it:

    errors, settings, clock     what everything may use
    language/                   text in, definitions and SQL out; touches nothing else
    engine/                     runs SQL, takes rows
    metadata/                   the metadata database
    client                      HTTP client of our own API
    connectors/                 loops that carry records between systems
    catalog/                    what exists in a workspace, who reads whom
    access/                     tokens, scopes: may this token do that?
    usage/                      service data sources and their recorder
    query/                      parameters to SQL to an answer
    ingest/                     records to rows, misfits to quarantine
    jobs/                       copy, populate, import, delete
    deploy/                     check, plan, explain, apply
    api/                        HTTP
    app                         builds the parts and connects them
    cli/                        commands
"""

from importlib.metadata import version

__version__ = version("birdhouse")
