#pragma once
// What a collector answers to spans that it took: {} or {"partialSuccess":{"rejectedSpans":"3","errorMessage":"…"}}. Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::otlp {

struct TraceAnswer {
  std::uint64_t rejected = 0;  // spans
  std::string why;             // in the collector's words
  bool operator==(const TraceAnswer&) const = default;
};

// What is no such answer rejects nothing.
[[nodiscard]] TraceAnswer read_trace_answer(std::string_view body);

}  // namespace herd::otlp
