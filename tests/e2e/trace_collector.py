"""A collector of OpenTelemetry's protocol for tests: takes POST /v1/traces, and reads what comes with the protocol's own messages
(package opentelemetry-proto). It may be told to be busy, or never to answer.
"""
import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_binary_ids(value):
    """In the JSON of OTLP ids are hexadecimal digits, where protobuf's own JSON has base64. Everything else is the same."""
    if isinstance(value, list):
        return [with_binary_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, each in value.items():
        if name in IDS:
            digits = bytes.fromhex(each)
            if len(digits) != IDS[name] or each != digits.hex():
                raise ValueError(f"{name} is {each!r}")
            changed[name] = base64.b64encode(digits).decode()
        else:
            changed[name] = with_binary_ids(each)
    return changed


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


def attributes_of(attributes):
    found = {each.key: value_of(each.value) for each in attributes}
    if len(found) != len(attributes):
        raise ValueError("an attribute comes twice")
    return found


@dataclass
class Span:
    trace: str
    id: str
    parent: str
    state: str
    name: str
    kind: int
    begin_ns: int
    end_ns: int
    attributes: dict
    events: list  # (name, time)
    links: list   # of spans
    status: int
    resource: dict = field(default_factory=dict)

    def __getitem__(self, name):
        return self.attributes.get(name)


def spans_of(body):
    """ValueError, or protobuf's ParseError, on what the protocol does not have."""
    request = json_format.ParseDict(with_binary_ids(json.loads(body)), ExportTraceServiceRequest())
    found = []
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                if any(link.trace_id != span.trace_id for link in span.links):
                    raise ValueError("a link into another trace")
                found.append(Span(
                    span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.trace_state, span.name, span.kind,
                    span.start_time_unix_nano, span.end_time_unix_nano, attributes_of(span.attributes),
                    [(event.name, event.time_unix_nano) for event in span.events], [link.span_id.hex() for link in span.links],
                    span.status.code, attributes_of(resource.resource.attributes)))
    return found


class Collector:
    """Listens on a free port. `busy`: so many times it answers 503 first; `hangs`: it never answers."""

    def __init__(self, busy=0, hangs=False):
        self.busy, self.hangs = busy, hangs
        self.spans, self.bodies, self.headers, self.wrong = [], [], [], []
        self.asked = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = collector.take(self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # whoever was kept waiting has left

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path, headers, body):
        with self._lock:
            self.asked += 1
            busy = self.asked <= self.busy
        if self.hangs:
            self._over.wait()
        if busy:
            return 503, {"Retry-After": "1"}
        try:
            spans = spans_of(body)
            if path != "/v1/traces" or headers["Content-Type"] != "application/json":
                raise ValueError(f"{path}, {headers['Content-Type']}")
        except (ValueError, json_format.ParseError) as error:
            self.wrong.append(f"{error}: {body[:300]}")
            return 400, {}
        with self._lock:
            self.spans += spans
            self.bodies.append(body.decode())
            self.headers.append(dict(headers))
        return 200, {}

    def traces(self):
        """Whole traces, as far as they have come: trace id -> its spans."""
        found = {}
        with self._lock:
            for span in self.spans:
                found.setdefault(span.trace, []).append(span)
        return {trace: spans for trace, spans in found.items() if any(span.kind == 2 for span in spans)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
