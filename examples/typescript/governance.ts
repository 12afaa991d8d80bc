// What an application needs to stay within its budgets: reserve, settle, release, consume, transactions.
// Copy it, and change it.

import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";

// bigint and numeric arrive as strings, and stay strings: a JavaScript number is not exact.
export type Amount = string | number;
/** An amount for a capability, or quantities to be priced: whole numbers, because a JavaScript number is not exact. */
export type Amounts = Record<string, number | Record<string, number>>;
export type Dimensions = Record<string, string | number | boolean>;
export type HoldState = "open" | "settled" | "released" | "expired";

/** A budget said no. As HTTP: 429, with retryAfter (seconds) as Retry-After unless it is null. */
export class Denied extends Error {
  constructor(readonly reason: string, readonly retryAfter: string | null) {
    super(reason);
  }
}

interface Decision {
  is_granted: boolean;
  denied_reason: string;
  retry_after: string | null;
}

export interface Hold {
  reservation_id: string;
  is_duplicate: boolean;
  state: HoldState;
}

export interface Use {
  event_id: string;
  is_duplicate: boolean;
}

function granted<T>(answer: Decision & T): T {
  if (!answer.is_granted) throw new Denied(answer.denied_reason, answer.retry_after);
  return answer;
}

// Seconds until a retry makes sense, null when waiting does not help. By the server's clock, because retry_at is.
export const RETRY_AFTER = `
    case denied_reason
        when 'BudgetExceeded' then ceil(extract(epoch from retry_at - least(retry_at, clock_timestamp())))::bigint
    end as retry_after`;

/**
 * Hold amounts, of all capabilities or of none, for at most ttl (an interval). Throws Denied.
 *
 * Its transaction must commit before the work begins. A repeated key gives the first hold, with is_duplicate and its
 * present state, and holds nothing more.
 */
export async function reserve(
  client: pg.ClientBase, owner: string, amounts: Amounts, dimensions: Dimensions, key: string, ttl: string,
): Promise<Hold> {
  const { rows } = await client.query<Decision & Hold>({
    name: "reserve", // prepared once per connection
    text: `
      select is_granted, denied_reason, ${RETRY_AFTER}, reservation_id, is_duplicate, state
      from gov_reserve_all($1, $2, $3, idempotency_key => $4, ttl => $5)`,
    values: [owner, JSON.stringify(amounts), JSON.stringify(dimensions), key, ttl],
  });
  return granted(rows[0]);
}

/** End a hold with what was really used, more or less than held. Doing it again changes nothing. */
export async function settle(client: pg.ClientBase, reservationId: string, amounts: Amounts): Promise<void> {
  await client.query({
    name: "settle",
    text: "select event_ids from gov_settle_all($1, $2)",
    values: [reservationId, JSON.stringify(amounts)],
  });
}

/** End a hold with nothing used. */
export async function release(client: pg.ClientBase, reservationId: string): Promise<void> {
  await client.query({ name: "release", text: "select gov_release($1)", values: [reservationId] });
}

/**
 * Use an amount that is known beforehand, in the transaction that is open. Throws Denied.
 *
 * A repeated key gives the first use, with is_duplicate, and charges nothing.
 */
export async function consume(
  client: pg.ClientBase, owner: string, capability: string, amount: Amount, dimensions: Dimensions, key: string,
): Promise<Use> {
  const { rows } = await client.query<Decision & Use>({
    name: "consume",
    text: `
      select is_granted, denied_reason, ${RETRY_AFTER}, event_id, is_duplicate
      from gov_consume($1, $2, $3, $4, idempotency_key => $5)`,
    values: [owner, capability, amount, JSON.stringify(dimensions), key],
  });
  return granted(rows[0]);
}

async function once<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    await client.query("begin");
    const result = await work(client);
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => (broken = true));
    throw error;
  } finally {
    client.release(broken); // the pool drops it if so
  }
}

// Connection failures, conflicts, a server that is short of something or restarts, a lock not granted in time.
export function isTransient(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return code ? /^(08|40|53|57|55P03|E[A-Z]+$)/.test(code) : /connect|timeout/i.test(message ?? "");
}

/**
 * The result of work(client), committed. Tried again, after each pause (milliseconds), when the database fails for the
 * moment: what work charges has a key or is a hold, so that twice is as good as once.
 */
export async function transaction<T>(
  pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>, pausesMs: number[] = [100, 1000],
): Promise<T> {
  for (const pause of pausesMs) {
    try {
      return await once(pool, work);
    } catch (error) {
      if (!isTransient(error)) throw error;
      console.error(`trying again in ${pause} ms: ${error}`);
      await sleep(pause);
    }
  }
  return once(pool, work);
}
