#pragma once
// Span: a piece of a request's time with a name, as tracing systems draw it (OpenTelemetry's data model), and SpanSink, where spans go
// when their request has ended. Never prompts, never answers.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "observability/trace/trace_context.h"

namespace herd::trace {

using AttributeValue = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;
struct Attribute {
  std::string name;
  AttributeValue value;
  bool operator==(const Attribute&) const = default;
};
using Attributes = std::vector<Attribute>;

enum class SpanKind : std::uint8_t { kInternal = 1, kServer = 2 };  // OpenTelemetry's numbers
enum class SpanStatus : std::uint8_t { kUnset = 0, kOk = 1, kError = 2 };

struct SpanEvent {
  std::string name;
  std::int64_t unix_ns = 0;
  bool operator==(const SpanEvent&) const = default;
};

struct Span {
  TraceId trace;
  SpanId id;
  SpanId parent;      // all zero: none
  std::string state;  // tracestate
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  std::int64_t begin_unix_ns = 0;
  std::int64_t end_unix_ns = 0;
  Attributes attributes;
  std::vector<SpanEvent> events;
  std::vector<SpanId> links;  // of spans of the same trace
  SpanStatus status = SpanStatus::kUnset;
  std::string status_message;  // kError
  bool operator==(const Span&) const = default;
};
using Spans = std::vector<Span>;

// What became of spans so far.
struct SpanCounts {
  std::uint64_t exported = 0;  // taken by the collector
  std::uint64_t dropped = 0;   // there was no room for them, or the process ended
  std::uint64_t failed = 0;    // the collector refused them, or could not be reached
  bool operator==(const SpanCounts&) const = default;
};

class SpanSink {
 public:
  virtual ~SpanSink() = default;
  // All of one request. Any thread; never waits.
  virtual void take(Spans spans) = 0;
  [[nodiscard]] virtual SpanCounts counts() const = 0;
};

}  // namespace herd::trace
