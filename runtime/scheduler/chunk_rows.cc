#include "runtime/scheduler/chunk_rows.h"

#include <algorithm>
#include <limits>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

// What is planned lies well below the bar that clients measure (one token in a hundred may take twice the undisturbed time):
// a prediction may be off by a quarter, and on a shared machine one decode in a hundred takes 1.4 times as long by itself. Little
// is lost by it: from about 16 rows on a chunk's rows cost the same in chunks of any length.
constexpr double kOfDecodes = 1.25;
constexpr double kUnseenSeconds = 0.050;
constexpr double kBeyondDecodesMax = 0.150;

}  // namespace

double step_seconds_max(std::optional<std::uint32_t> max_step_ms, double decode_s) {
  if (max_step_ms == 0U) return std::numeric_limits<double>::infinity();
  if (max_step_ms) return *max_step_ms * 1e-3;
  return std::min(std::max(kUnseenSeconds, kOfDecodes * decode_s), decode_s + kBeyondDecodesMax);
}

StepShape with_chunk(StepShape step, std::uint32_t position, std::uint32_t rows) {
  if (rows == 0) return step;
  const std::uint64_t before = position, count = rows;
  step.rows += rows;
  step.logit_rows += 1;
  step.context_tokens += before + count;
  step.attended += count * before + count * (count + 1) / 2;
  return step;
}

std::uint32_t chunk_rows(const StepCost& cost, const StepShape& step, std::uint32_t position, ChunkBounds bounds,
                         double seconds_max) {
  HERD_CHECK(bounds.min <= bounds.max, "a chunk's bounds are in order");
  const auto fits = [&](std::uint32_t rows) { return cost.step_seconds(with_chunk(step, position, rows)) <= seconds_max; };
  if (fits(bounds.max)) return bounds.max;
  // More rows take longer: `fit` fit, or must be given; `beyond` do not fit.
  std::uint32_t fit = bounds.min, beyond = bounds.max;
  while (beyond - fit > 1) {
    const std::uint32_t rows = fit + (beyond - fit) / 2;
    (fits(rows) ? fit : beyond) = rows;
  }
  return fit;
}

}  // namespace herd::scheduler
