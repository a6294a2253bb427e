#include "observability/trace/trace_sampler.h"

#include <charconv>
#include <string_view>

namespace herd::trace {
namespace {

constexpr std::string_view kParentBased = "parentbased_";
constexpr double kTwoTo64 = 18446744073709551616.0;

}  // namespace

Expected<TraceSampler> TraceSampler::named(const std::string& name, const std::string& argument) {
  TraceSampler sampler;
  std::string_view root = name;
  sampler.follows_parent_ = root.starts_with(kParentBased);
  if (sampler.follows_parent_) root.remove_prefix(kParentBased.size());
  if (root == "always_on") return sampler;
  if (root == "always_off") {
    sampler.ratio_ = 0;
    return sampler;
  }
  if (root != "traceidratio")
    return fail(usage_error("OTEL_TRACES_SAMPLER must be always_on, always_off or traceidratio, perhaps with parentbased_ before it, "
                            "not \"" + name + "\""));
  if (argument.empty()) return sampler;
  const char* const end = argument.data() + argument.size();
  const auto [stop, error] = std::from_chars(argument.data(), end, sampler.ratio_);
  if (error != std::errc{} || stop != end || !(sampler.ratio_ >= 0) || !(sampler.ratio_ <= 1))
    return fail(usage_error("OTEL_TRACES_SAMPLER_ARG must be a number in [0, 1], not \"" + argument + "\""));
  return sampler;
}

// The last 8 bytes of an id are the ones that are drawn in every id format, so the SDKs of OpenTelemetry go by them.
bool TraceSampler::samples(const TraceId& trace, std::optional<bool> parent_samples) const {
  if (follows_parent_ && parent_samples) return *parent_samples;
  if (ratio_ >= 1) return true;
  std::uint64_t low = 0;
  for (std::size_t i = 8; i < trace.bytes.size(); ++i) low = low << 8 | trace.bytes[i];
  return static_cast<double>(low) < ratio_ * kTwoTo64;
}

}  // namespace herd::trace
