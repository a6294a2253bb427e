#!/usr/bin/env python3
"""A real Prometheus server scrapes herd, and what vLLM's published Grafana dashboards ask of it gets answers.

    prometheus_test.py HERD           starts `HERD serve` (demo model) and Debian's `prometheus`, sends a few requests
    prometheus_test.py --page DUMP    the same with a page of numbers made by `DUMP MODEL ROUNDS` instead of a server
    prometheus_test.py --list         prints every query

The queries are built below from the shapes and the metric names that the dashboards use, so that the list can be read;
filled in as Grafana would: $model_name and $Deployment_id by the model's name, the intervals by one minute.
Standard library only. Prometheus listens on 127.0.0.1, with its data in a temporary folder.
"""
import contextlib
import http.server
import json
import math
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 120      # until a server says that it serves
SCRAPED_S = 60     # until a number shows up in Prometheus
COMPLETIONS = 6    # requests of one use; the server is used before the first scrape and after it


class Failed(Exception):
    pass


# --- the queries ------------------------------------------------------------------------------------------------------

def overview_queries():
    """examples/{online_serving,observability}/prometheus_grafana/grafana.json: "vLLM". Of a family that was renamed
    between versions of the dashboard both names are asked for."""
    def one(name):
        return f'{name}{{model_name="$model_name"}}'

    def rate(name):
        return f"rate({one(name)}[$__rate_interval])"

    queries = []
    for family in ("vllm:e2e_request_latency_seconds", "vllm:time_to_first_token_seconds",
                   "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"):
        queries += [f"histogram_quantile({q}, sum by(le) ({rate(family + '_bucket')}))" for q in (0.99, 0.95, 0.9, 0.5)]
        queries.append(f"{rate(family + '_sum')}\n/\n{rate(family + '_count')}")
    queries += [rate("vllm:prompt_tokens_total"), rate("vllm:generation_tokens_total")]
    queries += [one("vllm:num_requests_running"), one("vllm:num_requests_waiting")]
    queries += [one("vllm:kv_cache_usage_perc"), one("vllm:gpu_cache_usage_perc")]
    for family in ("vllm:request_prompt_tokens", "vllm:request_generation_tokens"):
        queries.append(f"sum by(le) (increase({one(family + '_bucket')}[$__rate_interval]))")
    queries.append(f"sum by(finished_reason) (increase({one('vllm:request_success_total')}[$__rate_interval]))")
    for family in ("vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds",
                   "vllm:request_decode_time_seconds", "vllm:request_max_num_generation_tokens"):
        queries.append(rate(family + "_sum"))
    return queries


def performance_queries():
    """examples/online_serving/dashboards/grafana/performance_statistics.json: names with an underscore for the colon,
    as a scrape that renames leaves them (see config/prometheus.yml)."""
    queries = []
    for family in ("vllm_e2e_request_latency_seconds", "vllm_time_to_first_token_seconds",
                   "vllm_inter_token_latency_seconds"):
        queries.append(f"rate({family}_sum[$__interval]) / rate({family}_count[$__interval])")
        queries.append(f"(sum(increase({family}_sum[$__range])) / sum(increase({family}_count[$__range])))")
        queries += [f"histogram_quantile({q}, sum by(le) (rate({family}_bucket[$__range])))"
                    for q in ("0.99", "0.90", "0.50")]
    queries += [f"histogram_quantile({q}, sum by(le) (rate(vllm_inter_token_latency_seconds_bucket[$__interval])))"
                for q in ("0.50", "0.90", "0.99")]
    queries += [f"rate({counter}[$__interval])" for counter in
                ("vllm_generation_tokens_total", "vllm_prompt_tokens_total", "vllm_iteration_tokens_total_count")]
    return queries


def statistics_queries():
    """examples/online_serving/dashboards/grafana/query_statistics.json, with underscores likewise."""
    def rate(name):
        return f'rate({name}{{model_name=~"$Deployment_id"}}[$__rate_interval])'

    queries = [f"sum by (model_name) (\n  {rate('vllm_request_success_total')}\n)",
               f"sum({rate('vllm_request_success_total')})"]
    for family in ("vllm_e2e_request_latency_seconds", "vllm_request_prompt_tokens"):
        queries += [f"histogram_quantile({q}, sum by(le, model_name) ({rate(family + '_bucket')}))"
                    for q in ("0.50", "0.90", "0.99")]
    queries.append(f"sum by (le, model_name) ({rate('vllm_request_prompt_tokens_bucket')})")
    queries.append(f"sum({rate('vllm_prompt_tokens_total')})\n/\nsum({rate('vllm_request_success_total')})")
    for counter in ("vllm_prompt_tokens_total", "vllm_generation_tokens_total"):
        queries += [f"sum by (model_name) ({rate(counter)})", f"sum({rate(counter)})"]
    return queries


# What only processes of a cluster say (cluster_metrics_test.py asks for it).
OF_CLUSTERS = re.compile(r"herd_(cluster|replica_serving|certificate)_?")


def dashboard_queries():
    """config/grafana_dashboard.json."""
    dashboard = json.loads((ROOT / "config/grafana_dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def own_queries():
    return [query for query in dashboard_queries() if not OF_CLUSTERS.search(query)]


DASHBOARDS = {
    "vLLM overview": overview_queries,
    "vLLM performance statistics": performance_queries,
    "vLLM query statistics": statistics_queries,
    "herd": own_queries,
}

# Asked for by dashboards of vLLM's engine before 2025, and without data here for a reason.
NO_DATA = {
    'vllm:num_requests_swapped{model_name="$model_name"}': "herd recomputes what it preempts; nothing is swapped",
    'vllm:cpu_cache_usage_perc{model_name="$model_name"}': "there is one KV pool, that of vllm:kv_cache_usage_perc",
}

# A value of zero is right for these: levels, what a quiet server has none of, and what takes several replicas. Everything else must
# be above zero.
MAY_BE_ZERO = re.compile(r"num_requests_(running|waiting)|cache_usage_perc|request_queue_time|herd_kv_blocks|"
                         r"admission_rejections|preemptions|herd_connections|herd_gateway|herd_streams|replayed|"
                         r"herd_admission|evicted|discarded|herd_kv_(moves|moved|recomputed|damaged|leases)|status=~?\"[45]|"
                         r"prefix_cache_hits|herd_(step_deadline|replica_generations|rank_suspicions|rank_restarts|token_mismatches|replica_pause|log_lines|"
                         r"replica_given_up|replica_waiting|replica_saturation)")


def filled(query, model):
    for name, value in (("$model_name", model), ("$Deployment_id", model), ("$__rate_interval", "1m"),
                        ("$__interval", "1m"), ("$__range", "1m"), ("$engine", ".*")):
        query = query.replace(name, value)
    return query


# --- processes --------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def process(command, **options):
    child = subprocess.Popen(command, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(what, seconds, attempt):
    """The first true result of `attempt`, asked for every quarter of a second."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            if result := attempt():
                return result
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            last = error
        time.sleep(0.25)
    raise Failed(f"not within {seconds} s: {what}" + (f" ({last})" if last else ""))


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode(), answer.headers


class HerdServer:
    """`herd serve` with the demo model; knows how to use it."""

    def __init__(self, herd, stack):
        child = stack.enter_context(process(
            [herd, "serve", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in child.stderr] + [lines.put(None)],
                         daemon=True).start()
        said, found = [], {}
        end = time.monotonic() + START_S
        while len(found) < 2:
            try:
                line = lines.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                line = None
            if line is None:
                raise Failed("herd serve did not say where it serves:\n" + "".join(said[-20:]))
            said.append(line)
            for key, pattern in (("api", r"serving on (http://\S+)"), ("metrics", r"metrics on (http://\S+)/metrics")):
                if match := re.search(pattern, line):
                    found[key] = match.group(1)
        self.api, self.metrics = found["api"], found["metrics"]
        self.model = json.loads(get(self.api + "/v1/models")[0])["data"][0]["id"]

    def post(self, body):
        request = urllib.request.Request(self.api + "/v1/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def use(self):
        prompt = "The capital of France is Paris. " * 8
        for i in range(COMPLETIONS):
            body = {"model": self.model, "prompt": prompt, "max_tokens": 16, "ignore_eos": True, "temperature": 0,
                    "stream": i % 2 == 1}
            text = self.post(body)
            if body["stream"] and not text.rstrip().endswith("data: [DONE]"):
                raise Failed(f"a stream without its end: {text[-200:]}")
        with contextlib.suppress(urllib.error.HTTPError):
            self.post({"model": "nobody has this model", "prompt": "x"})


class PageServer:
    """Serves what a small program of the tests prints, with one more request in it at each use."""

    def __init__(self, dump, stack):
        self.model = "demo_model"
        self.rounds = 0
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = subprocess.run([dump, page.model, str(page.rounds)], check=True, capture_output=True).stdout
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        self.api = self.metrics = f"http://127.0.0.1:{server.server_port}"

    def use(self):
        self.rounds += COMPLETIONS


CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: herd
    static_configs: [{targets: ["%(api)s"]}]
  - job_name: renamed
    static_configs: [{targets: ["%(metrics)s"]}]
    metric_relabel_configs:
      - {source_labels: [__name__], regex: "vllm:(.*)", target_label: __name__, replacement: "vllm_$1"}
"""


class Prometheus:
    """A server with that configuration, and beside it the rule files that it names."""

    def __init__(self, stack, text, rules=None):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="herd_prometheus_")))
        config = folder / "prometheus.yml"
        config.write_text(text)
        for name, content in (rules or {}).items():
            (folder / name).write_text(content)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}"
        self.log = folder / "log"
        child = stack.enter_context(process(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address={address}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log.open("w")))

        def ready():
            if child.poll() is not None:
                raise Failed(f"prometheus ended with {child.returncode}:\n{self.log.read_text()[-2000:]}")
            return get(self.url + "/-/ready")
        until("prometheus is ready", START_S, ready)

    def api(self, path, **arguments):
        try:
            text, _ = get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
        except urllib.error.HTTPError as error:
            raise Failed(f"{path} {arguments}: {error.read().decode()[:400]}") from None
        return json.loads(text)["data"]

    def values(self, query):
        """[(labels, value)], NaN left out: that is what a panel shows nothing for."""
        result = self.api("query", query=query)["result"]
        values = [(series["metric"], float(series["value"][1])) for series in result]
        return [(labels, value) for labels, value in values if not math.isnan(value)]

    def total(self, query):
        return sum(value for _, value in self.values(query))


# --- the test ---------------------------------------------------------------------------------------------------------

def check_page(server):
    for url in (server.api, server.metrics):
        text, headers = get(url + "/metrics")
        if not headers["Content-Type"].startswith("text/plain; version=0.0.4"):
            raise Failed(f"{url}/metrics has the content type {headers['Content-Type']}")
        if f'vllm:num_requests_running{{' not in text:
            raise Failed(f"{url}/metrics lacks vllm:num_requests_running")


def check_scrapes(prometheus):
    def healthy():
        targets = prometheus.api("targets")["activeTargets"]
        errors = [target["lastError"] for target in targets if target["lastError"]]
        if errors:
            raise Failed(f"prometheus cannot read the metrics: {errors}")
        return len(targets) == 2 and all(target["health"] == "up" for target in targets)
    until("both targets are scraped", SCRAPED_S, healthy)
    # A rate needs a sample from before the requests.
    until("two scrapes", SCRAPED_S, lambda: all(
        prometheus.total(f'count_over_time(up{{job="{job}"}}[5m])') >= 2 for job in ("herd", "renamed")))


def check_counts(prometheus, server):
    """What was sent is what was counted."""
    sent = 2 * COMPLETIONS
    for job, name in (("herd", "vllm:request_success_total"), ("renamed", "vllm_request_success_total")):
        query = f'{name}{{job="{job}",model_name="{server.model}"}}'
        until(f"{query} is {sent}", SCRAPED_S, lambda q=query: prometheus.total(q) == sent)
    for name, expected in (("vllm:e2e_request_latency_seconds_count", sent),
                           ("vllm:time_to_first_token_seconds_count", sent),
                           ("vllm:inter_token_latency_seconds_count", 15 * sent),
                           ("vllm:generation_tokens_total", 16 * sent)):
        if (count := prometheus.total(f'{name}{{job="herd"}}')) != expected:
            raise Failed(f"{name} is {count} after {sent} requests of 16 tokens each, not {expected}")
    names = prometheus.api("label/model_name/values")
    if names != [server.model]:
        raise Failed(f"model_name is {names}, the API says {server.model}")


def problem_with(prometheus, query, model):
    values = prometheus.values(filled(query, model))
    if not values:
        return "no data"
    if not MAY_BE_ZERO.search(query) and not any(value > 0 for _, value in values):
        return f"nothing above zero: {values}"
    return None


def check_queries(prometheus, model):
    problems = []
    for dashboard, queries in DASHBOARDS.items():
        asked = queries()
        wrong = [(query, why) for query in asked if (why := problem_with(prometheus, query, model))]
        print(f"{dashboard}: {len(asked) - len(wrong)} of {len(asked)} queries have data")
        problems += [f"{dashboard}: {filled(query, model)}\n    {why}" for query, why in wrong]
    for query, reason in NO_DATA.items():
        if prometheus.values(filled(query, model)):
            problems.append(f"{query} has data now, it was expected to have none: {reason}")
    if problems:
        raise Failed("\n".join(problems))


def check_configs():
    """The files that ship: Prometheus takes the one, the other asks only for families that exist (above)."""
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "config", "--lint-fatal", ROOT / "config/prometheus.yml"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"promtool: {done.stdout}{done.stderr}")
    identifiers = [panel["id"] for panel in json.loads((ROOT / "config/grafana_dashboard.json").read_text())["panels"]]
    if len(identifiers) != len(set(identifiers)):
        raise Failed("config/grafana_dashboard.json has two panels of one id")


def list_queries():
    for dashboard, queries in DASHBOARDS.items():
        print(f"# {dashboard}")
        for query in queries():
            print(re.sub(r"\s*\n\s*", " ", query))
    print("# without data")
    for query, reason in NO_DATA.items():
        print(f"{query}  ({reason})")


def run(arguments):
    if not shutil.which("prometheus"):
        print("SKIPPED: prometheus: not installed")
        return
    with contextlib.ExitStack() as stack:
        server = PageServer(arguments[1], stack) if arguments[0] == "--page" else HerdServer(arguments[0], stack)
        check_configs()
        check_page(server)
        server.use()  # a series that begins with a request has no rate until the next one
        prometheus = Prometheus(stack, CONFIG % {"api": server.api.split("//")[1], "metrics": server.metrics.split("//")[1]})
        check_scrapes(prometheus)
        server.use()
        check_counts(prometheus, server)
        check_queries(prometheus, server.model)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        list_queries()
    elif len(arguments) == 1 and not arguments[0].startswith("-") or len(arguments) == 2 and arguments[0] == "--page":
        try:
            run(arguments)
        except Failed as failure:
            sys.exit(f"FAILED: {failure}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
