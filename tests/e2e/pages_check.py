#!/usr/bin/env python3
"""The pages of --ui in a real browser: what they show, a chat, a stream that is stopped, one whose gateway is killed and started
again, keys and limits, markup that stays text; narrow, dark and wide, with screenshots to look at. Not in tests/run.sh: it needs a
browser (browser.py says how to get one).

    pages_check.py HERD [--model MODEL] [--shots FOLDER]

MODEL writes answers that are long enough to be interrupted; without: the demo model at a temperature at which it rambles, which may
end before its gateway is killed: then three checks fail.
"""
import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from browser import SHIFT, Browser
from cluster_process import ClusterFile, UpCluster
from serve_process import DEMO_MODEL, Checks, Server, TestFolder, key_file, wait_until

ASK = "Tell me a story about a dog."
SEEDS = 40
KEY = "sk-pages-0123456789"
MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"


def text_of(endpoint, body, headers=None):
    """The content of a stream that nobody disturbs, and how it ended."""
    end = endpoint.stream("/v1/chat/completions", {**body, "stream": True}, headers)
    text, finish = "", ""
    for event in end.events:
        if event.done:
            continue
        for choice in event.json()["choices"]:
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    return text, finish


def body_of(settings, content):
    return {"messages": [{"role": "user", "content": content}], **settings}


def long_settings(endpoint, rambles):
    """Settings under which the answer to ASK is the longest of a few."""
    if not rambles:
        return {"temperature": 0.7, "seed": 7, "max_tokens": 300}
    choices = [{"temperature": 1.8, "seed": seed, "max_tokens": 400} for seed in range(SEEDS)]
    return max(choices, key=lambda settings: len(text_of(endpoint, body_of(settings, ASK))[0]))


def own_complaints(page):
    """All but what the browser says by itself of a server that is away or refuses."""
    return [line for line in page.complaints if not line.startswith("network: Failed to load resource")]


def set_fields(page, settings):
    fields = {"temperature": "temperature", "seed": "seed", "max_tokens": "max-tokens"}
    for name, value in settings.items():
        page.value(f"document.getElementById('{fields[name]}').value = '{value}'")


LAST = "[...document.querySelectorAll('.message.assistant')].at(-1)"
SHOWN = f"{LAST}?.querySelector('.body').textContent"
ENDED = f"{LAST} && !{LAST}.classList.contains('running')"


def say(page, text):
    page.value("document.getElementById('ask').focus()")
    page.type(text)
    page.press("Enter")


class Load:
    """A few streams that come and go, so that there is something to see."""

    def __init__(self, endpoint):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(endpoint, i), daemon=True) for i in range(3)]
        for thread in self.threads:
            thread.start()

    def _run(self, endpoint, number):
        seed = 1000 * number
        while not self.over.wait(0.1 + 0.2 * number):
            seed += 1
            try:
                endpoint.post("/v1/completions", {"prompt": "The dog and the cat" * 3, "max_tokens": 60 + 50 * number,
                                                  "ignore_eos": True, "seed": seed, "temperature": 1.0})
            except OSError:
                continue

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


class PagesCheck:
    def __init__(self, herd, model, shots, checks):
        self.herd, self.model, self.shots, self.checks = herd, model, shots, checks

    def shoot(self, page, name, *, narrow=True):
        """In every size and scheme; nothing is wider than the window."""
        for label, width, height, scheme in (("desktop", 1280, 800, "light"), ("dark", 1280, 800, "dark"), ("narrow", 360, 740, "light"),
                                             ("narrow-dark", 360, 740, "dark")):
            if label.startswith("narrow") and not narrow:
                continue
            page.size(width, height)
            page.look(scheme)
            time.sleep(0.3)
            page.shot(self.shots / f"{name}-{label}.png")
            over = page.value("document.documentElement.scrollWidth")
            self.checks.check(f"{name}, {label}: nothing is wider than the window", over <= width, f"{over} of {width}")
        page.size(1280, 800)
        page.look("light")

    def clean(self, name, page, base):
        self.checks.equal(f"{name}: the console is silent", own_complaints(page), [])
        self.checks.equal(f"{name}: the policy was kept", page.value("window.violations"), [])
        others = [url for url in page.urls if not url.startswith((base + "/", "data:", "about:"))]
        self.checks.equal(f"{name}: nobody else was asked", others, [])

    def status(self, browser, cluster, base):
        page = browser.page()
        page.size(1280, 800)
        page.open(base + "/ui")
        self.checks.check("status: figures come", page.wait("!document.getElementById('status').hidden"))
        load = Load(cluster.gateway())
        try:
            busy = page.wait("Number(document.getElementById('generation').textContent.replace(',', '')) > 0", 60)
            self.checks.check("status: tokens that are generated are seen", busy)
            self.checks.equal("status: every node and replica", page.value(
                "[...document.querySelectorAll('#replicas .node th')].map((n) => n.firstChild.data).join() + ' ' +"
                "[...document.querySelectorAll('.replica th')].map((n) => n.textContent).sort().join()"),
                              "node-1,node-2 replica-0,replica-1")
            time.sleep(12)  # so that there are lines to look at
            self.shoot(page, "status")
            rank = cluster.status().leader("replica-1")
            os.kill(rank.pid, signal.SIGKILL)
            self.checks.check("status: a replica that is lost is an event", page.wait(
                "document.getElementById('events').textContent.includes('replica-1 is lost')"
                " || document.getElementById('events').textContent.includes('replica-1 serves again')"))
            self.checks.check("status: so is its return", page.wait(
                "document.getElementById('events').textContent.includes('replica-1 serves again')", 60))
            self.checks.check("status: it serves", page.wait("document.getElementById('health').textContent === 'serving'"))
            page.shot(self.shots / "status-after-loss.png")
        finally:
            load.end()
        self.clean("status", page, base)
        page.close()

    def chat(self, browser, cluster, base, settings):
        page = browser.page()
        page.size(1280, 800)
        page.open(base + "/ui/chat")
        self.checks.check("chat: the model's name comes", page.wait("document.getElementById('where').textContent !== ''"))
        self.checks.equal("chat: one can write at once", page.value("document.activeElement.id"), "ask")
        set_fields(page, settings)
        expected, _ = text_of(cluster.gateway(), body_of(settings, ASK))
        say(page, ASK)
        self.checks.check("chat: the answer ends", page.wait(ENDED, 120))
        self.checks.equal("chat: it is the API's, byte for byte", page.value(SHOWN), expected)
        foot = page.value(f"{LAST}.querySelector('.foot').textContent")
        self.checks.check("chat: it says how long it took", "tokens/s" in foot, foot)
        page.type("one")
        page.press("Enter", SHIFT)
        page.type("two")
        self.checks.equal("chat: Shift+Enter begins a line", page.value("document.getElementById('ask').value"), "one\ntwo")
        page.value("document.getElementById('ask').value = ''")
        self.shoot(page, "chat")
        self.stopped(page, cluster)
        self.markup(page)
        self.clean("chat", page, base)
        page.close()

    def stopped(self, page, cluster):
        page.value("document.getElementById('anew').click()")
        say(page, ASK)
        self.checks.check("stop: it writes", page.wait(f"({SHOWN} ?? '').length > 0"))
        page.press("Escape")
        self.checks.check("stop: Esc ends it", page.wait(ENDED))
        foot = page.value(f"{LAST}.querySelector('.foot').textContent")
        self.checks.check("stop: it says so", "stopped" in foot, foot)
        self.checks.check("stop: the cluster computes no more", wait_until(lambda: cluster.gateway().open_requests() == 0))

    def markup(self, page):
        page.value("document.getElementById('anew').click()")
        page.value("document.getElementById('max-tokens').value = '4'")
        say(page, MARKUP)
        page.wait(ENDED)
        self.checks.equal("markup stays text", page.value("document.querySelector('.message.user .body').textContent"), MARKUP)
        self.checks.equal("and makes nothing", page.value("document.querySelectorAll('#log img, #log b').length"), 0)

    def killed(self, browser, cluster, base, settings):
        """The gateway dies in the middle of the stream; herd up starts it again."""
        expected, _ = text_of(cluster.gateway(), body_of(settings, ASK))
        page = browser.page()
        page.size(1280, 800)
        page.open(base + "/ui/chat")
        page.wait("document.getElementById('where').textContent !== ''")
        set_fields(page, settings)
        gateway = cluster.status().one("gateway", "gateway-1")
        say(page, ASK)
        page.wait(f"({SHOWN} ?? '').length > 3")
        os.kill(gateway.pid, signal.SIGKILL)
        before = page.value(SHOWN)
        self.checks.check("killed: in the middle", 0 < len(before) < len(expected), f"{len(before)} of {len(expected)}")
        self.checks.check("killed: the page says that it waits", page.wait(f"{LAST}.classList.contains('waits')"))
        page.shot(self.shots / "chat-waits.png")
        self.checks.check("killed: the answer goes on to its end", page.wait(ENDED, 120), page.value(SHOWN))
        self.checks.equal("killed: not a character is lost or doubled", page.value(SHOWN), expected)
        foot = page.value(f"{LAST}.querySelector('.foot').textContent")
        self.checks.check("killed: it says that it was taken up again", "taken up again" in foot, foot)
        page.shot(self.shots / "chat-resumed.png")
        self.clean("killed", page, base)
        page.close()

    def keys(self, browser, folder):
        keys = key_file(folder / "keys", f"ui key={KEY} requests_per_minute=1")
        with Server(self.herd, "--ui", "--api-key-file", keys, folder=folder, checks=self.checks) as server:
            server.await_event_ids()
            base = f"http://127.0.0.1:{server.port}"
            page = browser.page()
            page.size(1280, 800)
            page.open(base + "/ui")
            self.checks.check("keys: the page asks for one", page.wait("!document.getElementById('key-form').hidden"))
            self.shoot(page, "key")
            page.type("sk-wrong-0123456789")
            page.press("Enter")
            self.checks.check("keys: a wrong one is not taken", page.wait(
                "document.getElementById('key-note').textContent.includes('does not take') && !document.getElementById('key-form').hidden"))
            page.type(KEY)
            page.press("Enter")
            self.checks.check("keys: the right one is", page.wait("!document.getElementById('status').hidden"))
            page.open(base + "/ui/chat")
            page.wait("document.getElementById('where').textContent !== ''")
            say(page, "What is the capital of France?")
            self.checks.check("keys: the tab keeps it", page.wait(f"{ENDED} && {SHOWN}.length > 0"))
            say(page, "And of Spain?")
            self.checks.check("limits: a 429 is shown with its time", page.wait(
                "/\\(429\\).*Try again in \\d+ s/.test(document.querySelector('.trouble')?.textContent ?? '')"))
            self.shoot(page, "trouble", narrow=False)
            self.clean("keys", page, base)
            stored = page.value("JSON.stringify([Object.keys(localStorage), document.cookie])")
            self.checks.equal("keys: nothing is kept beyond the tab", stored, '[[],""]')
            page.close()

    def run(self):
        self.shots.mkdir(parents=True, exist_ok=True)
        with Browser() as browser, TestFolder() as folder:
            file = ClusterFile(folder, model=self.model, tensor_parallel=1, data_parallel=2, nodes=2,
                               more={"http": {"ui": True}, "kv": {"kv_cache_memory": "256MiB"}})
            with UpCluster(self.herd, file, checks=self.checks) as cluster:
                base = f"http://127.0.0.1:{cluster.gateway().port}"
                settings = long_settings(cluster.gateway(), self.model == DEMO_MODEL)
                self.status(browser, cluster, base)
                self.chat(browser, cluster, base, settings)
                self.killed(browser, cluster, base, settings)
                cluster.await_serving()
            self.keys(browser, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("herd", type=Path)
    parser.add_argument("--model", type=Path, default=DEMO_MODEL)
    parser.add_argument("--shots", type=Path, default=Path("/tmp/herd-pages"))
    asked = parser.parse_args()
    checks = Checks()
    PagesCheck(asked.herd.resolve(), asked.model.resolve() if asked.model != DEMO_MODEL else DEMO_MODEL, asked.shots, checks).run()
    print(f"screenshots: {asked.shots}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
