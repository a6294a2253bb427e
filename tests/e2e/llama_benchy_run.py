"""Runs llama-benchy (PyPI), an independent client, against `herd serve`. Its text comes from a local server, its
tokenizer from the demo model: nothing leaves this machine."""
import http.server
import os
import subprocess
import threading

from serve_process import DEMO_MODEL

BOOK = " ".join(f"The sum of {a} and {b} is {a + b}. Once upon a time there was a fox who had {a} friends."
                for a in range(40) for b in range(8))


class Book(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(BOOK.encode())

    def log_message(self, *_):
        pass


def run_llama_benchy(python, url, model, folder, *flags, timeout_s=120):
    """The process that ran; result.json and progress.jsonl lie in `folder`."""
    book = http.server.HTTPServer(("127.0.0.1", 0), Book)
    threading.Thread(target=book.serve_forever, daemon=True).start()
    words = [python, "-m", "llama_benchy", "--base-url", f"{url}/v1", "--model", model, "--tokenizer", str(DEMO_MODEL),
             "--book-url", f"http://127.0.0.1:{book.server_port}/book.txt", *map(str, flags), "--exact-tg",
             "--extra-body", "skip_special_tokens=false",  # it counts only tokens that have text
             "--skip-coherence",  # asks for one word, which is beyond a toy model
             "--exit-on-first-fail", "--format", "json", "--save-result", str(folder / "result.json"),
             "--emit-progress", str(folder / "progress.jsonl")]
    environment = {**os.environ, "HOME": str(folder), "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}
    try:
        return subprocess.run(words, capture_output=True, timeout=timeout_s, env=environment, stdin=subprocess.DEVNULL)
    finally:
        book.shutdown()
        book.server_close()
