#!/usr/bin/env python3
"""`herd serve --config`: gateways of a cluster whose coordinator and leaders are played by a program (tests/actors/remote). It is loading
until something serves; streams survive cut connections and a coordinator that is away; a stream that one gateway began goes on at the
other one, byte for byte, also when the first was killed. Standard library only.

    gateway_test.py HERD_BINARY PLAYED_CLUSTER_BINARY
"""
import http.client
import json
import socket
import subprocess
import sys
import threading

from serve_process import DEMO_MODEL, Checks, Server, StreamEnd, TestFolder, wait_until

HERD, PLAYED = sys.argv[1:3]
COMPLETION = "/v1/completions"


def body(prompt, tokens, **more):
    return json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 1, "seed": 11, "ignore_eos": True,
                       "return_token_ids": True, "stream": True, **more})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PlayedCluster:
    def __enter__(self):
        self.process = subprocess.Popen([PLAYED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def reports(self):
        self.say("report")
        return self.process.stdout.readline().split()[1:]


def cluster_file(folder, coordinator_port, gateways):
    lines = ["name: test", "model:", f"  model_path: {DEMO_MODEL}", "  served_model_name: [demo]",
             "parallelism:", "  data_parallel_size: 2", "http:", f"  resume_key_file: {folder}/resume.key",
             "coordinators:", "  - name: c", f"    address: 127.0.0.1:{coordinator_port}", "gateways:"]
    for name, port in gateways.items():
        lines += [f"  - name: {name}", f"    port: {port}"]
    lines += ["nodes:"]
    for name in ("node-1", "node-2"):
        lines += [f"  - name: {name}", f"    address: 127.0.0.1:{free_port()}", "    devices: [cpu]"]
    path = folder / "cluster.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Gateway(Server):
    def __init__(self, file, name, **more):
        super().__init__(HERD, "--config", str(file), "--name", name, folder=file.parent,
                         command=lambda _: [HERD, "serve", "--config", str(file), "--name", name], **more)


def early(port, method, path, text=None):
    """Status and body; None: nobody takes connections yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def check_loading(checks, port):
    checks.check("it answers before anything serves", wait_until(lambda: early(port, "GET", "/live")))
    checks.equal("/health", early(port, "GET", "/health"), (503, b'{"status":"loading"}'))
    checks.equal("a request", early(port, "POST", COMPLETION, body("hello", 4))[0], 503)


def tokens_of(end):
    assert isinstance(end, StreamEnd), end
    return [token for event in end.events if not event.done for choice in event.json()["choices"]
            for token in choice.get("token_ids") or []]


def whole(checks, name, end, tokens):
    return checks.check(name, isinstance(end, StreamEnd) and end.whole and end.events and end.events[-1].done
                        and len(tokens_of(end)) == tokens, end)


def without_ids(events):
    """What is not of one request alone: its id, when it was made."""
    kept = []
    for event in events:
        data = {} if event.done else event.json()
        kept.append({key: value for key, value in data.items() if key not in ("id", "created")})
    return kept


def resume_on_the_other(checks, one, other):
    asked = body("Once upon a time", 40)
    first = one.stream(COMPLETION, asked)
    whole(checks, "a stream", first, 40)
    wrong = []
    for at in range(0, len(first.events) - 1, 3):
        rest = other.stream(COMPLETION, asked, {"Last-Event-ID": first.events[at].id})
        if not isinstance(rest, StreamEnd) or [e.raw for e in rest.events] != [e.raw for e in first.events[at + 1:]]:
            wrong.append((at, rest))
    checks.check("the other gateway goes on after every third event, byte for byte", not wrong, wrong[:1])


def replayed(gateway):
    return sum(value for (name, _), value in gateway.metrics().items() if name == "herd_requests_replayed_total")


def cut_in_mid_stream(checks, cluster, gateway):
    asked = body("In a village by the sea", 150)
    calm = gateway.stream(COMPLETION, asked)
    whole(checks, "an undisturbed stream", calm, 150)
    before = replayed(gateway)
    seen = [0]

    def on_event(_):
        seen[0] += 1
        if seen[0] % 20 == 0:
            for leader in range(2):
                cluster.say(f"cut {leader}")

    cut = gateway.stream(COMPLETION, asked, on_event=on_event)
    checks.equal("cut connections change nothing in it", without_ids(cut.events), without_ids(calm.events))
    again = replayed(gateway) - before
    checks.check("though attempts began again", again >= 3, again)


def coordinator_away(checks, cluster, gateway):
    asked = body("The old man and", 120)
    calm = gateway.stream(COMPLETION, asked)

    seen = [0]

    def on_event(_):
        seen[0] += 1
        if seen[0] == 20:
            cluster.say("coordinator off")

    away = gateway.stream(COMPLETION, asked, on_event=on_event)
    checks.equal("a stream while the coordinator goes away", without_ids(away.events), without_ids(calm.events))
    checks.equal("a new one while it is away", without_ids(gateway.stream(COMPLETION, asked).events), without_ids(calm.events))
    checks.equal("/health while it is away", gateway.get("/health").status, 200)
    cluster.say("coordinator on")
    checks.check("it is told again of its gateways", wait_until(lambda: len({r.split("=")[0] for r in cluster.reports()}) == 2))


def killed_gateway(checks, one, other):
    asked = body("A cat and a dog", 150)
    calm = other.stream(COMPLETION, asked)
    count = [0]

    def on_event(_):
        count[0] += 1
        if count[0] == 30:
            one.process.kill()

    broken = one.stream(COMPLETION, asked, on_event=on_event)
    checks.check("a killed gateway breaks its streams", not broken.whole and len(broken.events) >= 30, broken)
    rest = other.stream(COMPLETION, asked, {"Last-Event-ID": broken.events[-1].id})
    checks.equal("the other one goes on", without_ids(broken.events + rest.events), without_ids(calm.events))
    one.wait()


def main():
    checks = Checks()
    with TestFolder() as folder, PlayedCluster() as cluster:
        ports = {"g1": free_port(), "g2": free_port()}
        file = cluster_file(folder, cluster.port, ports)
        started = []
        starter = threading.Thread(target=lambda: started.append(Gateway(file, "g1", env={"HERD_RESTARTS": "3"})))
        starter.start()
        check_loading(checks, ports["g1"])
        checks.check("it joins before", wait_until(lambda: any(r.startswith("g1=starting,") for r in cluster.reports())))
        cluster.say("serve 1")
        starter.join()
        one = started[0]
        with Gateway(file, "g2", checks=checks) as other:
            checks.equal("/health", one.get("/health").status, 200)
            wanted = f"g1=serving,http://127.0.0.1:{ports['g1']},3"
            checks.check("it says what it is", wait_until(lambda: wanted in cluster.reports()), cluster.reports())
            resume_on_the_other(checks, one, other)
            cut_in_mid_stream(checks, cluster, one)
            coordinator_away(checks, cluster, one)
            killed_gateway(checks, one, other)
            refused = other.post(COMPLETION, body("x", 4, model="nobody"))
            checks.equal("another model", refused.status, 404)
    sys.exit(checks.finish())


if __name__ == "__main__":
    main()
