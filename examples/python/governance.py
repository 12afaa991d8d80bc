"""What an application needs to stay within its budgets: reserve, settle, release, consume, transactions.

Takes any psycopg connection whose client_encoding is UTF8 (which in an SQL_ASCII database has to be asked for).
Copy it, and change it.
"""

import logging
import time
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

log = logging.getLogger(__name__)

# Seconds until a retry makes sense, null when waiting does not help. By the server's clock, because retry_at is.
RETRY_AFTER = """
    case denied_reason
        when 'BudgetExceeded' then ceil(extract(epoch from retry_at - least(retry_at, clock_timestamp())))::bigint
    end as retry_after
"""


class Denied(Exception):
    """A budget said no. As HTTP: 429, with retry_after (seconds) as Retry-After unless it is None."""

    def __init__(self, reason, retry_after):
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Hold(NamedTuple):
    is_granted: bool
    denied_reason: str | None
    retry_after: int | None
    reservation_id: UUID | None
    is_duplicate: bool
    state: str | None


class Use(NamedTuple):
    is_granted: bool
    denied_reason: str | None
    retry_after: int | None
    event_id: int | None
    is_duplicate: bool


def _granted(answer):
    if not answer.is_granted:
        raise Denied(answer.denied_reason, answer.retry_after)
    return answer


def reserve(conn, owner, amounts, dimensions, key, ttl):
    """Hold amounts, of all capabilities or of none, for at most ttl (timedelta). Raises Denied.

    amounts has an int for a capability, or a dict of quantities (ints) to be priced. Its transaction must commit before
    the work begins. A repeated key gives the first hold, with is_duplicate and its present state, and holds nothing more.
    """
    with conn.cursor(row_factory=class_row(Hold)) as cursor:
        return _granted(cursor.execute(
            f"""
            select is_granted, denied_reason, {RETRY_AFTER}, reservation_id, is_duplicate, state
            from gov_reserve_all(%s, %s, %s, idempotency_key => %s, ttl => %s)
            """,
            (owner, Jsonb(amounts), Jsonb(dimensions), key, ttl),
        ).fetchone())


def settle(conn, reservation_id, amounts):
    """End a hold with what was really used, more or less than held. Doing it again changes nothing."""
    conn.execute("select event_ids from gov_settle_all(%s, %s)", (reservation_id, Jsonb(amounts)))


def release(conn, reservation_id):
    """End a hold with nothing used."""
    conn.execute("select gov_release(%s)", (reservation_id,))


def consume(conn, owner, capability, amount, dimensions, key):
    """Use an amount that is known beforehand, in the transaction that is open. Raises Denied.

    A repeated key gives the first use, with is_duplicate, and charges nothing.
    """
    with conn.cursor(row_factory=class_row(Use)) as cursor:
        return _granted(cursor.execute(
            f"""
            select is_granted, denied_reason, {RETRY_AFTER}, event_id, is_duplicate
            from gov_consume(%s, %s, %s, %s, idempotency_key => %s)
            """,
            (owner, capability, amount, Jsonb(dimensions), key),
        ).fetchone())


# Connection failures, conflicts, a server that is short of something or restarts, a lock not granted in time.
TRANSIENT = ("08", "40", "53", "57", "55P03")


def transaction(pool, work, pauses=(0.1, 1)):
    """The result of work(conn), committed. Tried again, after each pause (seconds), when the database fails for the
    moment: what work charges has a key or is a hold, so that twice is as good as once."""
    for pause in (*pauses, None):
        try:
            with pool.connection() as conn:
                return work(conn)
        except psycopg.OperationalError as error:
            if pause is None or not (error.sqlstate or "08").startswith(TRANSIENT):
                raise
            log.warning("trying again in %s s: %s", pause, error)
            time.sleep(pause)
            pool.check()
