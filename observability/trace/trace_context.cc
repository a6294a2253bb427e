#include "observability/trace/trace_context.h"

#include <algorithm>

#include "runtime/text/hex.h"

namespace herd::trace {
namespace {

constexpr std::size_t kTraceparentBytes = 55;  // of version 00: 2 + 32 + 16 + 2 digits and three hyphens
constexpr std::string_view kForbiddenVersion = "ff";
constexpr int kSampled = 1;

bool is_lower_hex(std::string_view digits) {
  return std::ranges::all_of(digits, [](char digit) { return text::hex_value(digit) >= 0 && !(digit >= 'A' && digit <= 'F'); });
}

// False: they are no digits, or all of them are 0. `digits`: two a byte.
template <std::size_t kBytes>
bool read_id(std::string_view digits, std::array<std::uint8_t, kBytes>& id) {
  if (!is_lower_hex(digits)) return false;
  for (std::size_t i = 0; i < kBytes; ++i)
    id[i] = static_cast<std::uint8_t>(text::hex_value(digits[2 * i]) * 16 + text::hex_value(digits[2 * i + 1]));
  return std::ranges::any_of(id, [](std::uint8_t byte) { return byte != 0; });
}

bool is_state(std::string_view state) {
  return state.size() <= kTraceStateBytesMax && std::ranges::all_of(state, [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

std::string hex(const TraceId& id) { return text::hex(id.bytes); }
std::string hex(const SpanId& id) { return text::hex(id.bytes); }

std::optional<TraceContext> read_trace_context(std::string_view traceparent, std::string_view state) {
  if (traceparent.size() < kTraceparentBytes) return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2);
  if (!is_lower_hex(version) || version == kForbiddenVersion) return std::nullopt;
  // A later version may say more, behind a hyphen.
  const bool longer = traceparent.size() > kTraceparentBytes;
  if (longer && (version == "00" || traceparent[kTraceparentBytes] != '-')) return std::nullopt;
  if (traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') return std::nullopt;
  TraceContext context;
  const std::string_view flags = traceparent.substr(53, 2);
  if (!read_id(traceparent.substr(3, 32), context.trace.bytes) || !read_id(traceparent.substr(36, 16), context.span.bytes) ||
      !is_lower_hex(flags))
    return std::nullopt;
  context.sampled = (text::hex_value(flags[1]) & kSampled) != 0;
  if (is_state(state)) context.state = state;
  return context;
}

std::string traceparent_of(const TraceContext& context) {
  return "00-" + hex(context.trace) + "-" + hex(context.span) + (context.sampled ? "-01" : "-00");
}

}  // namespace herd::trace
