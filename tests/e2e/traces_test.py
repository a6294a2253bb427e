#!/usr/bin/env python3
"""Requests as traces, read by OpenTelemetry's own messages: names, times and attributes; who called; what the environment says; every
attempt of streams whose replica dies in the middle; collectors that are busy, hang, or are not there hold up nobody.

    traces_test.py HERD FAULTY_HERD
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster_process import ClusterFile, UpCluster
from fault_streams import CHAT, COMPLETION, STORY, FaultyServer, Streams, demo_requests
from serve_process import DEMO_MODEL, Checks, Server, TestFolder, wait_until
from trace_collector import Collector

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
TRACE, CALLERS_SPAN = CALLER.split("-")[1:3]
SECRET = "xylophone"
TOKENS = 400  # of the streams that lose their replica
checks = Checks()
check, equal = checks.check, checks.equal


def spans_named(spans, name):
    return [span for span in spans if span.name == name]


def server_span(spans):
    return next(span for span in spans if span.kind == 2)


def traces_when(collector, count):
    wait_until(lambda: len(collector.traces()) >= count)
    return collector.traces()


def span_counts(server):
    return {dict(labels)["outcome"]: int(value) for (name, labels), value in server.metrics().items() if name == "herd_trace_spans_total"}


def chat(**more):
    return {"messages": [{"role": "user", "content": f"What is a {SECRET}?"}], "max_tokens": 12, "temperature": 0, "ignore_eos": True, **more}


def well_formed(name, spans):
    """What holds of every trace."""
    server = server_span(spans)
    children = [span for span in spans if span is not server]
    check(f"{name}: one server span, and all others are its children", all(span.parent == server.id for span in children) and
          len({span.id for span in spans}) == len(spans), [(span.name, span.parent) for span in spans])
    outside = [span.name for span in spans if not server.begin_ns <= span.begin_ns <= span.end_ns <= server.end_ns]
    check(f"{name}: every span lies within the server's", not outside, outside)
    now = time.time_ns()
    check(f"{name}: of the last minutes", now - 600e9 < server.begin_ns <= now, server.begin_ns)


def one_request(herd, folder):
    with Collector() as collector:
        with Server(herd, "--otlp-traces-endpoint", collector.url, "--enable-log-requests", "--log-format", "json", folder=folder,
                    checks=checks) as server:
            answer = server.post(CHAT, chat(), {"traceparent": CALLER + "01", "tracestate": "vendor=1", "x-request-id": "r-1"})
            spans = traces_when(collector, 1).get(TRACE, [])
            if not check("a request: its caller's trace arrives", spans, collector.wrong):
                return
            well_formed("a request", spans)
            top = server_span(spans)
            equal("a request: spans", sorted(span.name for span in spans),
                  ["attempt", "chat demo_model", "decode", "prefill", "queue", "read"])
            equal("a request: its caller", (top.parent, top.state), (CALLERS_SPAN, "vendor=1"))
            equal("a request: the answer's traceparent", answer.headers.get("traceparent"), f"00-{TRACE}-{top.id}-01")
            lines = [json.loads(line) for line in server.lines if '"request finished"' in line]
            equal("a request: its line in the log", [line.get("trace_id") for line in lines], [TRACE])
            usage, body = answer.json()["usage"], answer.json()
            wanted = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "demo_model", "gen_ai.request.id": "r-1",
                      "gen_ai.response.id": body["id"], "gen_ai.request.max_tokens": 12, "gen_ai.request.temperature": 0.0,
                      "gen_ai.request.stream": False, "gen_ai.usage.input_tokens": usage["prompt_tokens"],
                      "gen_ai.usage.prompt_tokens": usage["prompt_tokens"], "gen_ai.usage.output_tokens": 12,
                      "gen_ai.usage.completion_tokens": 12, "gen_ai.response.finish_reasons": ["length"],
                      "http.response.status_code": 200, "http.route": CHAT, "server.port": server.port,
                      "herd.request.outcome": "finished"}
            equal("a request: attributes", {name: top[name] for name in wanted}, wanted)
            times = [top[f"gen_ai.latency.{name}"] for name in ("time_in_queue", "time_in_model_prefill", "time_in_model_decode")]
            check("a request: its times are its own", 0 < sum(times) <= top["gen_ai.latency.e2e"] + 1e-6 and
                  top["gen_ai.latency.time_to_first_token"] <= top["gen_ai.latency.e2e"], times)
            attempt = spans_named(spans, "attempt")[0]
            equal("a request: its attempt", (attempt["herd.replica"], attempt["herd.attempt.outcome"], attempt["herd.attempt.output_tokens"],
                                             [name for name, _ in attempt.events]), (0, "finished", 12, ["first token"]))
            check("a request: the process", top.resource["service.name"] == "herd" and top.resource["service.version"], top.resource)
            server.post(CHAT, chat(), {"traceparent": CALLER + "00"})
            server.post(CHAT, chat(), {"traceparent": "00-rubbish"})
            refused = server.post(CHAT, {"messages": []})
            others = [spans for trace, spans in traces_when(collector, 3).items() if trace != TRACE]
            equal("others: one that is not sampled is not there, bad headers begin a new trace", len(others), 2)
            equal("others: one that is refused is a span", [server_span(spans)["http.response.status_code"] for spans in others if len(spans) == 1],
                  [refused.status])
            equal("others: nobody called", [server_span(spans).parent for spans in others], ["", ""])
            wait_until(lambda: span_counts(server)["exported"] == 13)
            equal("metrics: spans", span_counts(server), {"exported": 13, "dropped": 0, "failed": 0})
            # Waits for its batch when the server is told to stop.
            server.post(COMPLETION, {"prompt": f"The {SECRET}", "max_tokens": 3, "n": 2})
        check("the end: what waited is sent", len(collector.traces()) == 4, len(collector.traces()))
        last = list(collector.traces().values())[-1]
        equal("two choices: an attempt each", sorted(span["herd.choice"] for span in spans_named(last, "attempt")), [0, 1])
        check("no prompt and no answer is in them", not any(SECRET in body for body in collector.bodies) and
              not any(body["choices"][0]["message"]["content"][:12] in sent for sent in collector.bodies))
        equal("nothing was malformed", collector.wrong, [])


def environment(herd, folder):
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
               "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b", "OTEL_SERVICE_NAME": "front", "OTEL_RESOURCE_ATTRIBUTES": "team=x",
               "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        with Server(herd, folder=folder, checks=checks, env=env) as server:
            server.post(CHAT, chat())
            server.post(CHAT, chat(), {"traceparent": CALLER + "01"})
            traces = traces_when(collector, 1)
            equal("environment: a ratio of 0 leaves callers' traces", list(traces), [TRACE])
            resource = server_span(traces[TRACE]).resource
            equal("environment: the process", (resource["service.name"], resource["team"]), ("front", "x"))
            equal("environment: headers", collector.headers[0].get("api-key"), "a b")
    for name, value, code in (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", 2), ("OTEL_TRACES_SAMPLER", "xray", 2),
                              ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4318", 2)):
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", name: value}
        done = subprocess.run([herd, "serve", str(DEMO_MODEL), "--port", "0"], env=env, capture_output=True, timeout=60, check=False)
        check(f"environment: {name} {value} is refused by name", done.returncode == code and name.encode() in done.stderr,
              (done.returncode, done.stderr[-500:]))


def lost_streams(name, collector, outcomes, outcome_words):
    """Streams of TOKENS tokens that all completed, one of them at least in two attempts."""
    check(f"{name}: all streams complete", all(outcome.whole and not outcome.error for outcome in outcomes), [outcome.error for outcome in outcomes])
    traces = traces_when(collector, len(outcomes))
    equal(f"{name}: a trace each", len(traces), len(outcomes))
    moved = 0
    for spans in traces.values():
        well_formed(name, spans)
        attempts = sorted(spans_named(spans, "attempt"), key=lambda span: span["herd.attempt.number"])
        made = 0
        for before, after in zip([None, *attempts], attempts):
            equal(f"{name}: what an attempt was sent with are the tokens before it", after["herd.attempt.replayed_tokens"], made)
            made += after["herd.attempt.output_tokens"]
            equal(f"{name}: it links to the one before", after.links, [before.id] if before else [])
        equal(f"{name}: the attempts make the tokens", made, TOKENS)
        equal(f"{name}: the last one finishes", attempts[-1]["herd.attempt.outcome"], "finished")
        equal(f"{name}: the request does", server_span(spans)["herd.request.outcome"], "finished")
        if len(attempts) == 1:
            continue
        moved += 1
        first, second = attempts[:2]
        check(f"{name}: the first ended by the loss", first["herd.attempt.outcome"] in outcome_words and first.status == 2 and
              first["herd.attempt.reason"], first.attributes)
        check(f"{name}: another replica, or another life of it", (first["herd.replica"], first["herd.epoch"]) !=
              (second["herd.replica"], second["herd.epoch"]), (first.attributes, second.attributes))
        check(f"{name}: it goes on behind that", second.begin_ns >= first.end_ns and second["herd.attempt.number"] >= 1)
    check(f"{name}: a stream was moved", moved >= 1, moved)


def streams_asked(tokens):
    requests = demo_requests(tokens)
    return [request for request in requests if request.streamed and request.body.get("n", 1) == 1 and "stop" not in request.body]


def rank_dies(faulty_herd, folder):
    with Collector() as collector, FaultyServer(faulty_herd, "--otlp-traces-endpoint", collector.url, data_parallel=2, restarts=1000,
                                                folder=folder, checks=checks) as server:
        server.plant("kind=die,rank=0,step=37")
        streams = Streams(server, streams_asked(TOKENS))
        lost_streams("a rank that dies", collector, streams.join(), ("replica_lost",))
        equal("a rank that dies: nothing was malformed", collector.wrong, [])


def process_is_killed(herd, folder):
    with Collector() as collector:
        file = ClusterFile(folder, tensor_parallel=1, nodes=2, data_parallel=2,
                           more={"metrics": {"otlp_traces_endpoint": f"{collector.url}/v1/traces"}})
        with UpCluster(herd, file, checks=checks) as cluster:
            victims = [cluster.await_serving().leader("replica-1").pid]

            def kill_once(outcome):
                if len(outcome.chunks) == 40 and victims:
                    os.kill(victims.pop(), signal.SIGKILL)

            streams = Streams(cluster.gateway(), streams_asked(TOKENS), on_event=kill_once)
            lost_streams("kill -9 of a leader", collector, streams.join(), ("replica_lost", "link_cut"))
            equal("kill -9 of a leader: nothing was malformed", collector.wrong, [])


def answers(server, count):
    return [server.post(COMPLETION, {"prompt": STORY, "max_tokens": 8, "temperature": 0}).json()["choices"][0]["text"] for _ in range(count)]


def bad_collectors(herd, folder):
    with Server(herd, folder=folder, checks=checks) as server:
        wanted = answers(server, 1) * 3
        equal("without tracing: nothing is counted", span_counts(server), {"exported": 0, "dropped": 0, "failed": 0})
    with Collector(hangs=True) as collector:
        with Server(herd, "--otlp-traces-endpoint", collector.url, "--shutdown-timeout", "20", folder=folder, checks=checks) as server:
            equal("a collector that hangs: the same answers", answers(server, 3), wanted)
            check("a collector that hangs: it was asked", wait_until(lambda: collector.asked == 1))
            equal("a collector that hangs: the same answers behind that", answers(server, 3), wanted)
    with Collector(busy=2) as collector:
        with Server(herd, "--otlp-traces-endpoint", collector.url, folder=folder, checks=checks) as server:
            equal("a busy collector: the same answers", answers(server, 3), wanted)
            equal("a busy collector: all of them arrive when it is not", len(traces_when(collector, 3)), 3)
            check("a busy collector: the log says so once, and when it is over",
                  wait_until(lambda: "traces arrive again" in server.stderr()) and server.stderr().count("traces do not arrive") == 1)
            equal("a busy collector: nothing is lost", (span_counts(server)["dropped"], span_counts(server)["failed"]), (0, 0))
    with Server(herd, "--otlp-traces-endpoint", "http://127.0.0.1:9", folder=folder, checks=checks) as server:
        equal("nobody listens: the same answers", answers(server, 3), wanted)
        check("nobody listens: it is counted", wait_until(lambda: span_counts(server)["failed"] > 0))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    herd, faulty_herd = map(Path, sys.argv[1:])
    with TestFolder() as folder:
        one_request(herd, folder)
        environment(herd, folder)
        bad_collectors(herd, folder)
        rank_dies(faulty_herd, folder)
        process_is_killed(herd, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
