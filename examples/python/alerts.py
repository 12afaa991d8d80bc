"""Prints alerts as they are raised, one JSON object a line: those of the last hour, then each new one.

    PGHOST=/var/run/postgresql PGDATABASE=mydb PGUSER=bi python3 alerts.py

The role needs the profile reader, or tenant for the alerts of one customer. LISTEN needs a connection of its own: directly to
PostgreSQL, because a pool that gives out connections per transaction does not keep it.
"""

import json
import sys
import time

import psycopg
from psycopg.rows import dict_row

ALERTS = """
    select
        l.id, l.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name,
        l.threshold::text, l.usage::text, l.usage_limit::text, l.raised_at::text
    from gov_alerts l
    join gov_assignments a on a.id = l.assignment_id
"""


def connect(**options):
    # where the database is SQL_ASCII, psycopg takes text for bytes unless told
    return psycopg.connect(autocommit=True, client_encoding="UTF8", **options)


def follow(seen):
    """Yield alerts until the connection breaks. Those whose ids are in seen have been yielded before."""
    with connect() as listener, connect(row_factory=dict_row) as reader:
        listener.execute("listen governance_alerts")

        # what was raised while nobody listened; after LISTEN, so that none falls in between
        yield from new(seen, reader.execute(ALERTS + "where l.raised_at > now() - interval '1 hour' order by l.id"))
        for notice in listener.notifies():
            # any role can NOTIFY, and other customers' alerts are announced too: what counts are the rows we may read
            try:
                ids = [int(number) for number in json.loads(notice.payload)["alertIds"]]
            except (ValueError, KeyError, TypeError):
                continue
            yield from new(seen, reader.execute(ALERTS + "where l.id = any (%s) order by l.id", [ids]))


def new(seen, rows):
    for row in rows:
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row


def main():
    seen = set()
    while True:
        try:
            for alert in follow(seen):
                print(json.dumps(alert), flush=True)
        except psycopg.OperationalError as error:
            print(f"connecting again: {error}", file=sys.stderr, flush=True)
            time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
