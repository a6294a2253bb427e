#pragma once
// TraceContext: which trace a request belongs to, as the headers traceparent and tracestate say it (W3C Trace Context, Level 1). Values.
//   traceparent: 00-<trace id, 32 digits>-<span id, 16 digits>-<flags, 2 digits>     lower-case hexadecimal; flags: bit 0 is "sampled"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herd::trace {

struct TraceId {
  std::array<std::uint8_t, 16> bytes{};  // all zero: none
  bool operator==(const TraceId&) const = default;
};
struct SpanId {
  std::array<std::uint8_t, 8> bytes{};  // all zero: none
  bool operator==(const SpanId&) const = default;
};
[[nodiscard]] std::string hex(const TraceId& id);
[[nodiscard]] std::string hex(const SpanId& id);

inline constexpr std::size_t kTraceStateBytesMax = 512;

struct TraceContext {
  TraceId trace;
  SpanId span;        // the caller's, or the one that others name as their parent
  bool sampled = false;
  std::string state;  // tracestate as it came, at most kTraceStateBytesMax; empty: none
  bool operator==(const TraceContext&) const = default;
};

// nullopt: it is none, and the request has no parent. Of a version that is not known the first four fields count. A `state` that is too
// long or holds what no header of its kind may is left out.
[[nodiscard]] std::optional<TraceContext> read_trace_context(std::string_view traceparent, std::string_view state);
[[nodiscard]] std::string traceparent_of(const TraceContext& context);

}  // namespace herd::trace
