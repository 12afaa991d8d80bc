// Uses that are decided many at a time, and what becomes of them while the database cannot be reached.
//
//     node dist/many.js FILE     records what was let through; again and again, if you like
//
// Copy it, and change it.

import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { Denied, RETRY_AFTER, isTransient, transaction, type Dimensions } from "./governance.js";

/** The database could not be reached in time. As HTTP: 503. */
export class Unavailable extends Error {}

/** The use is wrong, whatever is left: no such capability, or a key that was used for another one. */
export class Refused extends Error {}

interface Request {
  ownerId: string;
  capabilityId: string;
  amount: number; // a whole one: a JavaScript number is not exact
  dimensions: Dimensions;
  idempotencyKey: string;
}

interface Use {
  is_granted: boolean;
  denied_reason: string;
  retry_after: string | null;
  event_id: string;
  is_duplicate: boolean;
  error: string | null;
}

interface Call {
  request: Request;
  isAwaited: boolean;
  answer(use: Use): void;
  fail(error: unknown): void;
}

/**
 * Gathers uses for some milliseconds and has them decided by one call, in one commit.
 *
 * When the database does not answer within waitMs, a use is let through if whenUnavailable is "open", and Unavailable if
 * it is "closed". What is let through is counted in letThrough, and kept in usesFile.
 */
export class Gate {
  letThrough = 0;
  private calls: Call[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly pool: pg.Pool, private readonly whenUnavailable: string, private readonly waitMs: number,
    private readonly usesFile: string, private readonly gatherMs = 5, private readonly gatherCalls = 200,
  ) {
    if (!["open", "closed"].includes(whenUnavailable)) throw new Error(`a gate that cannot ask is open or closed, not ${whenUnavailable}`);
  }

  /** Use an amount. Throws Denied, Refused, Unavailable. Null if it was let through. */
  async consume(ownerId: string, capabilityId: string, amount: number, dimensions: Dimensions, idempotencyKey: string): Promise<Use | null> {
    const request = { ownerId, capabilityId, amount, dimensions, idempotencyKey };
    let use: Use;
    try {
      use = await this.ask(request);
    } catch (error) {
      if (!(error instanceof Unavailable) && !isTransient(error)) throw error;
      if (this.whenUnavailable === "closed") throw new Unavailable();
      this.keep(request);
      return null;
    }
    if (use.error !== null) throw new Refused(use.error);
    if (!use.is_granted) throw new Denied(use.denied_reason, use.retry_after);
    return use;
  }

  private ask(request: Request): Promise<Use> {
    return new Promise((resolve, reject) => {
      const bound = setTimeout(() => call.fail(new Unavailable()), this.waitMs);
      const end = () => {
        clearTimeout(bound);
        call.isAwaited = false;
      };
      const call: Call = {
        request,
        isAwaited: true,
        answer: (use) => { end(); resolve(use); },
        fail: (error) => { end(); reject(error); },
      };
      this.calls.push(call);
      if (this.calls.length >= this.gatherCalls) void this.flush();
      else this.timer ??= setTimeout(() => void this.flush(), this.gatherMs);
    });
  }

  private async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const calls = this.calls.splice(0).filter((call) => call.isAwaited);
    if (calls.length === 0) return; // nobody waits for them any more
    try {
      const uses = await transaction(this.pool, (client) => consumeMany(client, calls.map((call) => call.request)), [10]);
      calls.forEach((call, n) => call.answer(uses[n]));
    } catch (error) {
      calls.forEach((call) => call.fail(error));
    }
  }

  private keep(request: Request): void {
    // On disk before the caller goes on. With its key, and when it was: so it may also have been recorded after all.
    const file = openSync(this.usesFile, "a");
    try {
      writeSync(file, JSON.stringify({ ...request, occurredAt: new Date().toISOString() }) + "\n");
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    this.letThrough++;
  }
}

async function consumeMany(client: pg.ClientBase, requests: Request[]): Promise<Use[]> {
  const { rows } = await client.query<Use>({
    name: "consume_many",
    text: `
      select is_granted, denied_reason, ${RETRY_AFTER}, event_id, is_duplicate, error
      from gov_consume_many($1)
      order by position`,
    values: [JSON.stringify(requests)],
  });
  return rows;
}

/** Record what was let through, and say what came of it. What is known already, by its key, is not counted again. */
export async function record(client: pg.ClientBase, usesFile: string, atOnce = 1000): Promise<{ recorded: number; known: number }> {
  const events = readFileSync(usesFile, "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  let recorded = 0;
  let known = 0;
  for (let first = 0; first < events.length; first += atOnce) {
    const some = events.slice(first, first + atOnce);
    const { rows } = await client.query<{ position: number; is_duplicate: boolean | null; error: string | null }>(
      "select position, is_duplicate, error from gov_ingest_each($1) order by position", [JSON.stringify(some)]);
    for (const { position, is_duplicate, error } of rows) {
      // the gate had been answered too late, and the use was recorded
      const wasConsumed = error !== null && error.includes("was used for another call");
      if (error !== null && !wasConsumed) console.error(`not recorded: ${JSON.stringify(some[position - 1])}: ${error}`);
      if (is_duplicate === true || wasConsumed) known++;
      else if (is_duplicate === false) recorded++;
    }
  }
  return { recorded, known };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const client = new pg.Client({ application_name: "gateway" });
  await client.connect();
  const { recorded, known } = await record(client, process.argv[2]);
  console.log(`recorded ${recorded}, known ${known}`);
  await client.end();
}
