#pragma once
// TraceSampler: which requests become spans. Pure: by the caller's word, or by a share of trace ids, so that all who see one trace decide
// alike.

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/status.h"
#include "observability/trace/trace_context.h"

namespace herd::trace {

class TraceSampler {
 public:
  TraceSampler() = default;  // parentbased_always_on
  // Under the names of OTEL_TRACES_SAMPLER: always_on, always_off, traceidratio, and each with parentbased_ before it: then a caller that
  // says whether it samples is followed. `argument`: the ratio in [0, 1], of the two that have one; empty: 1. kUsage.
  [[nodiscard]] static Expected<TraceSampler> named(const std::string& name, const std::string& argument);

  [[nodiscard]] bool samples(const TraceId& trace, std::optional<bool> parent_samples) const;

 private:
  bool follows_parent_ = true;
  double ratio_ = 1;
};

}  // namespace herd::trace
