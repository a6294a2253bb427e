#include "kernels/plans/graph_buckets.h"

#include <algorithm>

namespace herd::cuda {

std::vector<std::int64_t> graph_buckets(std::int64_t rows_max) {
  std::vector<std::int64_t> buckets;
  for (std::int64_t rows = 1; rows < rows_max;) {
    buckets.push_back(rows);
    rows += rows < 8 ? rows : rows < 64 ? 8 : rows < 128 ? 16 : rows < 512 ? 32 : 128;
  }
  if (rows_max >= 1) buckets.push_back(rows_max);
  return buckets;
}

std::int64_t bucket_for(const std::vector<std::int64_t>& buckets, std::int64_t rows) {
  const auto at = std::lower_bound(buckets.begin(), buckets.end(), rows);
  return at == buckets.end() ? 0 : *at;
}

}  // namespace herd::cuda
