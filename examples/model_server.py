#!/usr/bin/env python3
"""A stand-in for a model: answers like a chat-completions endpoint, with a usage block. A prompt that it has answered before
is read from its cache, as the usage says, but for one token.

    model_server.py [PORT]

What the request's `model` does:

    stand-in            answers at once
    stand-in-failing    answers 500
    stand-in-hanging    never answers
    stand-in-waiting    answers at the next POST /continue, which says how many were waiting
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

never = threading.Event()
waiting = []
answered = set()


def completion(request):
    prompt = " ".join(message["content"] for message in request["messages"])
    answer = f"You said: {prompt}"
    used = {"prompt_tokens": 1 + len(prompt) // 4, "completion_tokens": min(request["max_tokens"], 1 + len(answer) // 4)}
    cached = used["prompt_tokens"] - 1 if prompt in answered else 0
    answered.add(prompt)
    return {
        "object": "chat.completion",
        "model": request["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
        "usage": {**used, "total_tokens": sum(used.values()), "prompt_tokens_details": {"cached_tokens": cached}},
    }


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/continue":
            released = [waiting.pop() for _ in range(len(waiting))]
            for event in released:
                event.set()
            return self.answer(200, {"released": len(released)})

        request = json.loads(body)
        if request["model"] == "stand-in-failing":
            return self.answer(500, {"error": {"message": "the model is overloaded"}})
        if request["model"] == "stand-in-hanging":
            never.wait()
        if request["model"] == "stand-in-waiting":
            waiting.append(event := threading.Event())
            event.wait()
        self.answer(200, completion(request))

    def answer(self, status, body):
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
