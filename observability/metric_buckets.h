#pragma once
// Upper bounds of the histograms' buckets, ascending; +Inf is implied. Where vLLM has the family, its bounds are all
// here, so that `sum by (le)` over both servers adds up. Finer ones are added only below vLLM's first: there they
// cannot make a sum fall.

#include <cstdint>
#include <vector>

namespace herd::observability {

using Buckets = std::vector<double>;

[[nodiscard]] Buckets first_token_buckets();   // seconds
[[nodiscard]] Buckets token_gap_buckets();     // seconds
[[nodiscard]] Buckets request_time_buckets();  // seconds
[[nodiscard]] Buckets iteration_buckets();     // tokens of a step
[[nodiscard]] Buckets choices_buckets();       // the parameter n
[[nodiscard]] Buckets step_time_buckets();     // seconds
[[nodiscard]] Buckets step_bytes_buckets();    // bytes
[[nodiscard]] Buckets pause_buckets();         // seconds
[[nodiscard]] Buckets share_buckets();         // of a bound; above 1 the bound was measured too low
[[nodiscard]] Buckets http_time_buckets();     // seconds
// 1 2 5 10 20 50 … up to `max` (at least {1}).
[[nodiscard]] Buckets token_count_buckets(std::int64_t max);

}  // namespace herd::observability
