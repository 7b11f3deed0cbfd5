"""What is asked of PostgreSQL, from version 13 on. Used by ``sensors``. Everything only reads."""

from typing import Final

SETTINGS: Final = (
    "SET default_transaction_read_only = on",
    "SET statement_timeout = '5s'",
    "SET lock_timeout = '1s'",
    "SET application_name = 'homeostat'",
)

DATABASES: Final = """
SELECT datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted,
       tup_updated, tup_deleted, deadlocks, temp_files, temp_bytes,
       CASE WHEN has_database_privilege(datname, 'CONNECT') THEN pg_database_size(datid) END AS size
FROM pg_stat_database WHERE datname IS NOT NULL AND datname NOT IN ('template0', 'template1')
ORDER BY xact_commit DESC LIMIT 100
"""

CONNECTIONS: Final = """
SELECT coalesce(state, 'unknown') AS state, count(*) AS count FROM pg_stat_activity
WHERE backend_type = 'client backend' GROUP BY 1
"""

LOCKS: Final = """
SELECT mode, granted, count(*) AS count FROM pg_locks GROUP BY 1, 2
"""

MAX_CONNECTIONS: Final = "SELECT current_setting('max_connections')::int AS max"

REPLICAS: Final = """
SELECT coalesce(application_name, '') AS name, pg_wal_lsn_diff(
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn) AS behind
FROM pg_stat_replication LIMIT 100
"""

HAS_STATEMENTS: Final = """
SELECT n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""

STATEMENTS: Final = """
SELECT s.queryid::text AS queryid, d.datname, left(min(s.query), 2000) AS query, sum(s.calls)::float8 AS calls,
       sum(s.total_exec_time)::float8 AS total_ms, sum(s.rows)::float8 AS rows
FROM {schema}.pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE s.queryid IS NOT NULL GROUP BY s.queryid, d.datname ORDER BY 5 DESC LIMIT %s
"""

# A connection that is idle by now shows its last statement and when it ended.
SLOW: Final = """
SELECT pid, backend_start, query_start, CASE WHEN state = 'active' THEN NULL ELSE state_change END AS ended,
       left(query, 4000) AS query, datname, usename, client_addr::text AS client, wait_event_type, now() AS seen
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND query_start IS NOT NULL AND query <> '' AND pid <> pg_backend_pid()
  AND CASE WHEN state = 'active' THEN clock_timestamp() ELSE state_change END - query_start > %s
ORDER BY query_start LIMIT 500
"""
