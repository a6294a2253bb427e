// SpanExporter towards collectors that take, refuse, are busy, hang, and are not there.
#include "endpoint/otlp/span_exporter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <vector>

#include "endpoint/http/http_server.h"
#include "runtime/steady_clock.h"
#include "tests/endpoint/http/scripted_handler.h"

namespace herd::otlp {
namespace {

using http::HttpRequest;
using http::HttpResponder;
using trace::SpanCounts;

Instant soon() { return seconds_after(steady_now(), 60); }

trace::Spans spans(std::size_t count) {
  trace::Spans made(count);
  for (trace::Span& span : made) span.name = "one";
  return made;
}

// Answers as it is told, and keeps the bodies.
struct Collector {
  explicit Collector(http::HttpResponse response) : answer(std::move(response)) {
    handler.answer = [this](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
      const std::scoped_lock lock(mutex);
      requests.push_back(std::move(request));
      if (hangs) {
        held.push_back(std::move(responder));
      } else {
        responder->respond(requests.size() <= busy_first ? http::HttpResponse{503, "", {{"Retry-After", "0"}}, ""} : answer);
      }
    };
    server = http::start(handler);
  }
  [[nodiscard]] std::vector<HttpRequest> seen() {
    const std::scoped_lock lock(mutex);
    return requests;
  }
  [[nodiscard]] OtlpSettings settings() const {
    OtlpSettings settings;
    settings.target = {"127.0.0.1", std::to_string(server->port()), "/v1/traces"};
    settings.headers = {{"api-key", "k"}};
    settings.resource = {{"service.name", "herd"}};
    return settings;
  }

  http::HttpResponse answer;
  std::size_t busy_first = 0;
  bool hangs = false;
  std::mutex mutex;
  std::vector<HttpRequest> requests;
  std::vector<std::shared_ptr<HttpResponder>> held;
  http::ScriptedHandler handler;
  std::unique_ptr<http::HttpServer> server;
};

struct Exporting : testing::Test {
  void export_to(OtlpSettings settings, trace::SpanOutboxConfig config = {}) {
    auto started = SpanExporter::start(std::move(settings), config, log);
    ASSERT_TRUE(started);
    exporter = std::move(*started);
  }
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  observability::EventLog log{observability::LogFormat::kText, observability::LogLevel::kError, {.fd = null}};
  std::unique_ptr<SpanExporter> exporter;
  ~Exporting() override {
    exporter.reset();
    ::close(null);
  }
};

TEST_F(Exporting, SpansArriveWithTheirHeaders) {
  Collector collector({200, "application/json", {}, "{}"});
  export_to(collector.settings());
  exporter->take(spans(3));
  exporter->hurry();
  ASSERT_TRUE(exporter->await_sent(soon()));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.exported = 3}));
  const auto seen = collector.seen();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].head.method, "POST");
  EXPECT_EQ(seen[0].head.path, "/v1/traces");
  EXPECT_EQ(*seen[0].head.header("content-type"), "application/json");
  EXPECT_EQ(*seen[0].head.header("api-key"), "k");
  EXPECT_TRUE(seen[0].body.starts_with(R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name")")) << seen[0].body;
}

TEST_F(Exporting, WithoutHurryABatchGoesWhenItsTimeHasCome) {
  Collector collector({200, "application/json", {}, "{}"});
  export_to(collector.settings(), {.delay_s = 0.05});
  exporter->take(spans(1));
  ASSERT_TRUE(exporter->await_sent(soon()));
  exporter->take(spans(2));
  ASSERT_TRUE(exporter->await_sent(soon()));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.exported = 3}));
}

TEST_F(Exporting, ABusyCollectorIsAskedAgainAndARefusalIsFinal) {
  Collector busy({200, "application/json", {}, "{}"});
  busy.busy_first = 2;
  export_to(busy.settings(), {.delay_s = 0});
  exporter->take(spans(3));
  ASSERT_TRUE(exporter->await_sent(soon()));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.exported = 3}));
  EXPECT_EQ(busy.seen().size(), 3U);
  exporter.reset();
  for (const int status : {400, 401, 404, 500, 302}) {
    Collector refusing({status, "text/plain", {}, "no"});
    export_to(refusing.settings(), {.delay_s = 0});
    exporter->take(spans(3));
    ASSERT_TRUE(exporter->await_sent(soon()));
    EXPECT_EQ(exporter->counts(), (SpanCounts{.failed = 3})) << status;
    EXPECT_EQ(refusing.seen().size(), 1U) << status;
    exporter.reset();
  }
}

TEST_F(Exporting, APartialSuccessIsCounted) {
  Collector collector({200, "application/json", {}, R"({"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}})"});
  export_to(collector.settings(), {.delay_s = 0});
  exporter->take(spans(5));
  ASSERT_TRUE(exporter->await_sent(soon()));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.exported = 3, .failed = 2}));
}

TEST_F(Exporting, NobodyThereFailsThem) {
  OtlpSettings settings;
  {
    Collector gone({200, "", {}, ""});
    settings = gone.settings();
  }
  export_to(settings, {.delay_s = 0});
  exporter->take(spans(4));
  ASSERT_TRUE(exporter->await_sent(soon()));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.failed = 4}));
}

// It has the first batch and never answers: what comes meanwhile waits, and is dropped beyond the bound. The end does not wait for it.
TEST_F(Exporting, ACollectorThatHangsHoldsUpNobody) {
  Collector collector({200, "", {}, ""});
  collector.hangs = true;
  OtlpSettings settings = collector.settings();
  settings.timeout_s = 3600;
  export_to(settings, {.spans_max = 10, .batch_max = 4, .delay_s = 0});
  exporter->take(spans(4));
  while (collector.seen().empty()) ::usleep(1000);
  for (int i = 0; i < 5; ++i) exporter->take(spans(3));
  EXPECT_EQ(exporter->counts(), (SpanCounts{.dropped = 9})) << "two of the five have room";
  exporter->hurry();
  EXPECT_FALSE(exporter->await_sent(seconds_after(steady_now(), 0.05)));
  exporter->close();
  const SpanCounts counts = exporter->counts();
  EXPECT_EQ(counts.exported, 0U);
  EXPECT_EQ(counts.dropped + counts.failed, 19U) << "every span is accounted for";
  exporter->take(spans(1));
  EXPECT_EQ(exporter->counts().dropped, counts.dropped + 1) << "what comes behind the end";
}

}  // namespace
}  // namespace herd::otlp
