// A gateway that keeps its customers' agents within their budgets.
//
//     POST /chat    {"agentId", "model", "prompt", "maxTokens"}    hold what it may cost, call the model, settle
//     POST /images  {"agentId", "name"}                            a use and a row, committed together or not at all
//     POST /tools   {"agentId", "tool"}                            a use, decided with those of other requests
//     POST /status  {}                                             how many uses were let through unasked
//
// The database is where libpq's PGHOST, PGDATABASE, ... say; the model is at MODEL_URL.

import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import * as governance from "./governance.js";
import { Gate, Refused, Unavailable } from "./many.js";

const MODEL_URL = process.env.MODEL_URL ?? "http://127.0.0.1:8000";
const MODEL_TIMEOUT_SECONDS = Number(process.env.MODEL_TIMEOUT_SECONDS ?? 60);
// A hold outlives the call and the retries of settling. Should this process die, it ends by itself.
const HOLD_TTL = `${process.env.HOLD_TTL_SECONDS ?? MODEL_TIMEOUT_SECONDS + 60} seconds`;

const pool = new pg.Pool({
  application_name: "gateway", // what the ledger names as the caller
  max: 10,
  connectionTimeoutMillis: 5000,
  query_timeout: 10000, // for a server that is gone; the role limits how long a statement runs
});
pool.on("error", (error) => console.error(`an idle connection was lost: ${error}`)); // without it the process ends

// Open or closed while the database cannot be reached, and after how long that is so.
const gate = new Gate(pool, process.env.WHEN_UNAVAILABLE ?? "closed", Number(process.env.UNAVAILABLE_SECONDS ?? 2) * 1000,
  process.env.USES_FILE ?? "uses.jsonl");

/** An answer that is not a success. */
class Failed extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

// ---------------------------------------------------------------- what it costs is known afterwards

interface ChatRequest { agentId: string; model: string; prompt: string; maxTokens: number }
interface Chat { answer: string; tokens: number }
interface Usage { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens?: number } }

/** What a chat takes: of a budget of requests, of one of tokens, and of one of dollars by the prices of the model. */
function amountsOf(input: number, cached: number, output: number) {
  return { "ai-requests": 1, "ai-tokens": input + cached + output, "ai-dollars": { input, cached, output } };
}

/** The same of a model's usage, whose prompt_tokens are with those that it has read from its cache. */
function amountsUsed(usage: Usage) {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return amountsOf(usage.prompt_tokens - cached, cached, usage.completion_tokens);
}

async function askModel(model: string, prompt: string, maxTokens: number): Promise<{ answer: string; usage: Usage }> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), MODEL_TIMEOUT_SECONDS * 1000);
  try {
    const response = await fetch(`${MODEL_URL}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model, messages: [{ role: "user", content: prompt }], max_tokens: maxTokens }),
      signal: abort.signal,
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const completion: any = await response.json();
    return { answer: completion.choices[0].message.content, usage: completion.usage };
  } finally {
    clearTimeout(timer);
  }
}

async function chat(owner: string, key: string, { agentId, model, prompt, maxTokens }: ChatRequest): Promise<Chat> {
  const estimate = amountsOf(1 + Math.floor(prompt.length / 4), 0, maxTokens);

  // Committed, and the connection back in the pool, before the model is called.
  const hold = await governance.transaction(pool, (client) =>
    governance.reserve(client, owner, estimate, { agentId, model }, key, HOLD_TTL));
  if (hold.is_duplicate) return earlierChat(hold);

  let completion: { answer: string; usage: Usage };
  try {
    completion = await askModel(model, prompt, maxTokens);
  } catch (error) {
    await letGo(hold);
    throw new Failed(502, `the model did not answer: ${error}`);
  }

  const used = amountsUsed(completion.usage);
  const answer = { answer: completion.answer, tokens: used["ai-tokens"] };
  try {
    await governance.transaction(pool, async (client) => {
      await governance.settle(client, hold.reservation_id, used);
      await client.query(
        `insert into chats (reservation_id, owner_id, prompt, answer, tokens)
         values ($1, $2, $3, $4, $5)
         on conflict (reservation_id) do nothing`,
        [hold.reservation_id, owner, prompt, answer.answer, answer.tokens]);
    }, [100, 500, 2000, 5000, 10000]);
  } catch (error) {
    // The customer gets the answer. The hold expires by itself, and can be settled even then: keep what that takes.
    console.error(`not settled: reservation ${hold.reservation_id}, ${JSON.stringify(used)}: ${error}`);
  }
  return answer;
}

async function letGo(hold: governance.Hold): Promise<void> {
  try {
    await governance.transaction(pool, (client) => governance.release(client, hold.reservation_id));
  } catch (error) {
    console.error(`not released: reservation ${hold.reservation_id}, it expires by itself: ${error}`);
  }
}

/** The answer to a key that was used before: one key, one hold, one call of the model. */
async function earlierChat(hold: governance.Hold): Promise<Chat> {
  if (hold.state === "open") throw new Failed(409, "a request with this key is in progress");
  const { rows } = await pool.query<Chat>("select answer, tokens from chats where reservation_id = $1", [hold.reservation_id]);
  if (rows.length === 0) throw new Failed(409, "the request with this key has failed: use a new key to try again");
  return rows[0];
}

// ---------------------------------------------------------------- what it costs is known beforehand

interface ImageRequest { agentId: string; name: string }

function createImage(owner: string, key: string, { agentId, name }: ImageRequest) {
  return governance.transaction(pool, async (client) => {
    const use = await governance.consume(client, owner, "ai-images", 1, { agentId }, key);
    if (!use.is_duplicate) {
      // A failure from here on, such as a name that is taken, gives the image back to the budget.
      await client.query("insert into images (event_id, owner_id, name) values ($1, $2, $3)", [use.event_id, owner, name]);
    }
    return { id: use.event_id, name };
  });
}

// ---------------------------------------------------------------- many of them at a time

interface ToolRequest { agentId: string; tool: string }

async function useTool(owner: string, key: string, { agentId, tool }: ToolRequest) {
  const use = await gate.consume(owner, "ai-tools", 1, { agentId, tool }, key);
  return { tool, isAsked: use !== null };
}

async function status() {
  return { letThrough: gate.letThrough };
}

// ---------------------------------------------------------------- HTTP: your framework's part

const ROUTES: Record<string, (owner: string, key: string, body: any) => Promise<object>> = {
  "/chat": chat,
  "/images": createImage,
  "/tools": useTool,
  "/status": status,
};

interface Answer { status: number; body: object; headers?: Record<string, string> }

async function handle(request: IncomingMessage): Promise<Answer> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;

  const route = ROUTES[request.url ?? ""];
  if (!route) throw new Failed(404, "there is /chat, /images and /tools");
  const owner = String(request.headers["x-customer"]); // from your authentication, never from the body
  const key = String(request.headers["idempotency-key"] ?? randomUUID());
  return { status: 200, body: await route(owner, key, JSON.parse(text)) };
}

function answerTo(error: any): Answer {
  if (error instanceof governance.Denied) {
    const headers = error.retryAfter === null ? undefined : { "Retry-After": error.retryAfter };
    return { status: 429, body: { error: error.reason }, headers };
  }
  if (error instanceof Unavailable) return { status: 503, body: { error: "try again" } };
  if (error instanceof Refused) return { status: 400, body: { error: error.message } };
  if (error instanceof Failed) return { status: error.status, body: { error: error.message } };
  // a key used for another request, or a name that is taken
  if (error.code === "23505") return { status: 409, body: { error: error.message } };
  if (/^22/.test(error.code) || error instanceof SyntaxError) return { status: 400, body: { error: error.message } };
  console.error(error);
  return governance.isTransient(error) ? { status: 503, body: { error: "try again" } } : { status: 500, body: {} };
}

const server = createServer(async (request, response) => {
  const { status, body, headers } = await handle(request).catch(answerTo);
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
});
server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => server.close(() => pool.end())); // those that have begun are finished
