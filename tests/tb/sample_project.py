"""A small project that uses what a project can: tokens, tags, indexes, a computed column, views, a copy, an include."""

from __future__ import annotations

DATASOURCES = {
    "datasources/events.datasource": """\
DESCRIPTION >
    What users did

TOKEN "events_append" APPEND
TOKEN "events_read" READ
TAGS "billing, core"

SCHEMA >
    `ts` DateTime `json:$.ts`,
    `user` String `json:$.user` DEFAULT 'nobody',
    `value` Float64 `json:$.value`,
    `labels` Array(String) `json:$.labels[:]`,
    `day` Date MATERIALIZED toDate(ts)

ENGINE "MergeTree"
ENGINE_PARTITION_KEY "toYYYYMM(ts)"
ENGINE_SORTING_KEY "user, ts"
ENGINE_TTL "ts + toIntervalDay(36500)"

INDEXES >
    by_user user TYPE bloom_filter(0.01) GRANULARITY 4
    INDEX by_value value TYPE minmax GRANULARITY 1
""",
    "datasources/daily.datasource": """\
SCHEMA >
    `day` Date,
    `users` AggregateFunction(uniq, String),
    `total` SimpleAggregateFunction(sum, Float64)

ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "day"
""",
    "datasources/user_totals.datasource": """\
SCHEMA >
    `user` String,
    `total` Float64

ENGINE "MergeTree"
ENGINE_SORTING_KEY "user"
""",
}

PIPES = {
    "includes/only_people.incl": """\
NODE only_people
SQL >
    SELECT * FROM $SOURCE WHERE user != 'bot'
""",
    "pipes/daily_mv.pipe": """\
NODE per_day
SQL >
    SELECT toDate(ts) AS day, uniqState(user) AS users, sum(value) AS total FROM events GROUP BY day

TYPE materialized
DATASOURCE daily
""",
    "pipes/hourly_mv.pipe": """\
TAGS "core"

NODE per_hour
SQL >
    SELECT toStartOfHour(ts) AS hour, count() AS events FROM events GROUP BY hour

TYPE materialized
DATASOURCE hourly
ENGINE "SummingMergeTree"
ENGINE_SORTING_KEY "hour"
""",
    "pipes/totals_copy.pipe": """\
TOKEN "copy_read" READ

NODE per_user
SQL >
    SELECT user, sum(value) AS total FROM events GROUP BY user

TYPE copy
TARGET_DATASOURCE user_totals
COPY_SCHEDULE 0 0 1 1 *
COPY_MODE replace
""",
    "pipes/top_users.pipe": """\
DESCRIPTION >
    The busiest users

TOKEN "top_users_read" READ
TAGS "core"

INCLUDE "../includes/only_people.incl" "SOURCE=events"

NODE ranked
DESCRIPTION >
    The one with the most comes first

SQL >
    %
    SELECT user, sum(value) AS total
    FROM only_people
    WHERE
        ts >= {{ DateTime(since, '2020-01-01 00:00:00', description='From when') }}
        {% if defined(users) %} AND user IN {{ Array(users, 'String') }} {% end %}
    GROUP BY user
    ORDER BY total DESC, user
    LIMIT {{ Int32(limit, 10) }}
""",
    "pipes/days.pipe": """\
NODE merged
SQL >
    SELECT day, uniqMerge(users) AS users, sum(total) AS total FROM daily GROUP BY day

NODE in_order
SQL >
    SELECT * FROM merged ORDER BY day

TYPE endpoint
""",
}

PROJECT = DATASOURCES | PIPES

RESOURCES = sorted(path.rpartition("/")[2].partition(".")[0] for path in PROJECT if not path.endswith(".incl"))
"""The names that a push reports; `hourly` is created by its view and has no file."""

ROWS = """\
{"ts":"2024-01-01 10:00:00","user":"ann","value":1.5,"labels":["a","b"]}
{"ts":"2024-01-01 11:00:00","user":"bob","value":2,"labels":[]}
{"ts":"2024-01-02 10:30:00","user":"ann","value":4,"labels":["c"]}
{"ts":"2024-01-02 10:30:00","user":"bot","value":100,"labels":["c"]}
"""

TOP_USERS = [{"user": "ann", "total": 5.5}, {"user": "bob", "total": 2}]
DAYS = [{"day": "2024-01-01", "users": 2, "total": 3.5}, {"day": "2024-01-02", "users": 2, "total": 104}]
