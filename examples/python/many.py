"""Uses that are decided many at a time, and what becomes of them while the database cannot be reached.

    python3 many.py FILE     records what was let through; again and again, if you like

Copy it, and change it.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from concurrent.futures import Future, TimeoutError as TimedOut
from datetime import datetime, timezone
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

import governance

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """The database could not be reached in time. As HTTP: 503."""


class Refused(Exception):
    """The use is wrong, whatever is left: no such capability, or a key that was used for another one."""


class Use(NamedTuple):
    is_granted: bool
    denied_reason: str | None
    retry_after: int | None
    event_id: int | None
    is_duplicate: bool
    error: str | None


class Gate:
    """Gathers the uses of all threads for some milliseconds and has them decided by one call, in one commit.

    When the database does not answer within wait_seconds, a use is let through if when_unavailable is "open", and
    Unavailable if it is "closed". What is let through is counted in let_through, and kept in uses_file.
    """

    def __init__(self, pool, when_unavailable, wait_seconds, uses_file, gather_seconds=0.005, gather_calls=200):
        if when_unavailable not in ("open", "closed"):
            raise ValueError(f"a gate that cannot ask is open or closed, not {when_unavailable}")
        self.let_through = 0
        self._pool, self._is_open, self._wait_seconds, self._uses_file = pool, when_unavailable == "open", wait_seconds, uses_file
        self._gather_seconds, self._gather_calls = gather_seconds, gather_calls
        self._calls, self._lock = queue.SimpleQueue(), threading.Lock()
        threading.Thread(target=self._work, daemon=True).start()

    def consume(self, owner, capability, amount, dimensions, key):
        """Use an amount (int). Raises Denied, Refused, Unavailable. None if it was let through."""
        request = {"ownerId": owner, "capabilityId": capability, "amount": amount, "dimensions": dimensions, "idempotencyKey": key}
        answer = Future()
        self._calls.put((request, answer))
        try:
            use = answer.result(self._wait_seconds)
        except (TimedOut, psycopg.OperationalError) as error:
            answer.cancel()
            if not self._is_open:
                raise Unavailable() from error
            self._keep(request)
            return None
        if use.error is not None:
            raise Refused(use.error)
        if not use.is_granted:
            raise governance.Denied(use.denied_reason, use.retry_after)
        return use

    def _keep(self, request):
        # On disk before the caller goes on. With its key, and when it was: so it may also have been recorded after all.
        line = json.dumps({**request, "occurredAt": datetime.now(timezone.utc).isoformat()})
        with self._lock, open(self._uses_file, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
            self.let_through += 1

    def _gather(self):
        calls = [self._calls.get()]
        until = time.monotonic() + self._gather_seconds
        while len(calls) < self._gather_calls:
            try:
                calls.append(self._calls.get(timeout=max(0, until - time.monotonic())))
            except queue.Empty:
                break
        return [(request, answer) for request, answer in calls if answer.set_running_or_notify_cancel()]

    def _work(self):
        while True:
            calls = self._gather()
            if not calls:
                continue  # nobody waits for them any more
            try:
                requests = [request for request, _ in calls]
                uses = governance.transaction(self._pool, lambda conn: consume_many(conn, requests), pauses=(0.01,))
            except Exception as error:
                for _, answer in calls:
                    answer.set_exception(error)
            else:
                for (_, answer), use in zip(calls, uses):
                    answer.set_result(use)


def consume_many(conn, requests):
    with conn.cursor(row_factory=class_row(Use)) as cursor:
        return cursor.execute(
            f"""
            select is_granted, denied_reason, {governance.RETRY_AFTER}, event_id, is_duplicate, error
            from gov_consume_many(%s)
            order by position
            """,
            (Jsonb(requests),),
        ).fetchall()


def record(conn, uses_file, at_once=1000):
    """Record what was let through, and say what came of it. What is known already, by its key, is not counted again."""
    with open(uses_file, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    recorded = known = 0
    for first in range(0, len(events), at_once):
        some = events[first:first + at_once]
        rows = conn.execute(
            "select position, is_duplicate, error from gov_ingest_each(%s) order by position", (Jsonb(some),)).fetchall()
        for position, is_duplicate, error in rows:
            # the gate had been answered too late, and the use was recorded
            was_consumed = error is not None and "was used for another call" in error
            if error is not None and not was_consumed:
                log.error("not recorded: %s: %s", some[position - 1], error)
            known += is_duplicate is True or was_consumed
            recorded += is_duplicate is False
    return recorded, known


if __name__ == "__main__":
    logging.basicConfig()
    with psycopg.connect(application_name="gateway", client_encoding="UTF8") as connection:
        print("recorded %s, known %s" % record(connection, sys.argv[1]))
