#!/usr/bin/env python3
"""A gateway that keeps its customers' agents within their budgets.

    POST /chat    {"agentId", "model", "prompt", "maxTokens"}    hold what it may cost, call the model, settle
    POST /images  {"agentId", "name"}                            a use and a row, committed together or not at all
    POST /tools   {"agentId", "tool"}                            a use, decided with those of other requests
    POST /status  {}                                             how many uses were let through unasked

The database is where libpq's PGHOST, PGDATABASE, ... say; the model is at MODEL_URL.
"""

import json
import logging
import os
import signal
import threading
import urllib.request
import uuid
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
from psycopg_pool import ConnectionPool

import governance
import many

MODEL_URL = os.environ.get("MODEL_URL", "http://127.0.0.1:8000")
MODEL_TIMEOUT_SECONDS = float(os.environ.get("MODEL_TIMEOUT_SECONDS", 60))
# A hold outlives the call and the retries of settling. Should this process die, it ends by itself.
HOLD_TTL = timedelta(seconds=float(os.environ.get("HOLD_TTL_SECONDS", MODEL_TIMEOUT_SECONDS + 60)))

log = logging.getLogger("gateway")
pool = ConnectionPool(
    # application_name is what the ledger names as the caller; the role limits how long a statement runs; where the database
    # is SQL_ASCII, psycopg takes text for bytes unless told
    kwargs={"application_name": "gateway", "client_encoding": "UTF8", "connect_timeout": 5, "tcp_user_timeout": 10_000},
    min_size=1, max_size=10, timeout=5, open=False,
)

# Open or closed while the database cannot be reached, and after how long that is so.
gate = many.Gate(
    pool, os.environ.get("WHEN_UNAVAILABLE", "closed"), float(os.environ.get("UNAVAILABLE_SECONDS", 2)),
    os.environ.get("USES_FILE", "uses.jsonl"))


class Failed(Exception):
    """An answer that is not a success."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---------------------------------------------------------------- what it costs is known afterwards


def ask_model(model, prompt, max_tokens):
    request = urllib.request.Request(
        f"{MODEL_URL}/v1/chat/completions",
        json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=MODEL_TIMEOUT_SECONDS) as response:
        completion = json.load(response)
    return completion["choices"][0]["message"]["content"], completion["usage"]


def amounts(input_tokens, cached_tokens, output_tokens):
    """What a chat takes: of a budget of requests, of one of tokens, and of one of dollars by the prices of the model."""
    return {
        "ai-requests": 1,
        "ai-tokens": input_tokens + cached_tokens + output_tokens,
        "ai-dollars": {"input": input_tokens, "cached": cached_tokens, "output": output_tokens},
    }


def amounts_used(usage):
    """The same of a model's usage, whose prompt_tokens are with those that it has read from its cache."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return amounts(usage["prompt_tokens"] - cached, cached, usage["completion_tokens"])


def chat(owner, key, body):
    model, prompt, max_tokens = body["model"], body["prompt"], int(body["maxTokens"])
    dimensions = {"agentId": body["agentId"], "model": model}
    estimate = amounts(1 + len(prompt) // 4, 0, max_tokens)

    # Committed, and the connection back in the pool, before the model is called.
    hold = governance.transaction(pool, lambda conn: governance.reserve(conn, owner, estimate, dimensions, key, HOLD_TTL))
    if hold.is_duplicate:
        return earlier_chat(hold)

    try:
        answer, usage = ask_model(model, prompt, max_tokens)
    except Exception as error:
        let_go(hold)
        raise Failed(502, f"the model did not answer: {error}") from error

    used = amounts_used(usage)
    tokens = used["ai-tokens"]

    def finish(conn):
        governance.settle(conn, hold.reservation_id, used)
        conn.execute(
            """
            insert into chats (reservation_id, owner_id, prompt, answer, tokens)
            values (%s, %s, %s, %s, %s)
            on conflict (reservation_id) do nothing
            """,
            (hold.reservation_id, owner, prompt, answer, tokens),
        )

    try:
        governance.transaction(pool, finish, pauses=(0.1, 0.5, 2, 5, 10))
    except psycopg.Error:
        # The customer gets the answer. The hold expires by itself, and can be settled even then: keep what that takes.
        log.exception("not settled: reservation %s, %s", hold.reservation_id, json.dumps(used))
    return {"answer": answer, "tokens": tokens}


def let_go(hold):
    try:
        governance.transaction(pool, lambda conn: governance.release(conn, hold.reservation_id))
    except psycopg.Error:
        log.exception("not released: reservation %s, it expires by itself", hold.reservation_id)


def earlier_chat(hold):
    """The answer to a key that was used before: one key, one hold, one call of the model."""
    if hold.state == "open":
        raise Failed(409, "a request with this key is in progress")
    with pool.connection() as conn:
        chat = conn.execute("select answer, tokens from chats where reservation_id = %s", (hold.reservation_id,)).fetchone()
    if chat is None:
        raise Failed(409, "the request with this key has failed: use a new key to try again")
    return {"answer": chat[0], "tokens": chat[1]}


# ---------------------------------------------------------------- what it costs is known beforehand


def create_image(owner, key, body):
    def work(conn):
        use = governance.consume(conn, owner, "ai-images", 1, {"agentId": body["agentId"]}, key)
        if not use.is_duplicate:
            # A failure from here on, such as a name that is taken, gives the image back to the budget.
            conn.execute(
                "insert into images (event_id, owner_id, name) values (%s, %s, %s)", (use.event_id, owner, body["name"]))
        return {"id": use.event_id, "name": body["name"]}

    return governance.transaction(pool, work)


# ---------------------------------------------------------------- many of them at a time


def use_tool(owner, key, body):
    use = gate.consume(owner, "ai-tools", 1, {"agentId": body["agentId"], "tool": body["tool"]}, key)
    return {"tool": body["tool"], "isAsked": use is not None}


def status(owner, key, body):
    return {"letThrough": gate.let_through}


# ---------------------------------------------------------------- HTTP: your framework's part

ROUTES = {"/chat": chat, "/images": create_image, "/tools": use_tool, "/status": status}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            owner = self.headers["X-Customer"]  # from your authentication, never from the body
            key = self.headers.get("Idempotency-Key") or str(uuid.uuid4())
            if self.path not in ROUTES:
                raise Failed(404, "there is /chat, /images and /tools")
            self.answer(200, ROUTES[self.path](owner, key, body))
        except governance.Denied as denied:
            retry = {} if denied.retry_after is None else {"Retry-After": denied.retry_after}
            self.answer(429, {"error": denied.reason}, retry)
        except many.Refused as refused:
            self.answer(400, {"error": str(refused)})
        except many.Unavailable:
            self.answer(503, {"error": "try again"})
        except Failed as failed:
            self.answer(failed.status, {"error": str(failed)})
        except psycopg.errors.UniqueViolation as error:  # a key used for another request, or a name that is taken
            self.answer(409, {"error": error.diag.message_primary})
        except psycopg.OperationalError:
            log.exception("no database")
            self.answer(503, {"error": "try again"})
        except (KeyError, TypeError, ValueError, psycopg.DataError) as error:
            self.answer(400, {"error": repr(error)})

    def answer(self, status, body, headers=None):
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(payload), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


def main():
    logging.basicConfig()
    with pool, ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 8080))), Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.daemon_threads = False  # those that have begun are finished
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
