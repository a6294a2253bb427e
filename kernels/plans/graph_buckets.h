#pragma once
// Numbers of rows for which decode steps are recorded as CUDA graphs. A step of n rows runs as the next bucket, filled
// up with rows that write nothing. Pure.

#include <cstdint>
#include <vector>

namespace herd::cuda {

// Ascending: 1, 2, 4, 8, then steps of 8 to 64, of 16 to 128, of 32 to 512, of 128 beyond; the last one is rows_max.
[[nodiscard]] std::vector<std::int64_t> graph_buckets(std::int64_t rows_max);
// The smallest bucket that holds `rows`; 0 when none does.
[[nodiscard]] std::int64_t bucket_for(const std::vector<std::int64_t>& buckets, std::int64_t rows);

}  // namespace herd::cuda
