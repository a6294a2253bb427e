#pragma once
// RowLogits: what sampling asks of one row of logits, its columns spread over the threads. See Ops, whose checks have been made.

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/thread_pool.h"

namespace herd {

class RowLogits {
 public:
  RowLogits(const KernelTable& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
            const DrawKey& key, Candidate* out);
  void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out);
  void weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins);
  void select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
              std::int32_t* columns, float* values);

 private:
  template <class Body>
  std::int64_t for_pieces(std::int64_t cols, std::int64_t least, const Body& body);

  const KernelTable& kernels_;
  ThreadPool& pool_;
  // Of each piece of a row.
  std::vector<Candidate> best_;
  std::vector<NucleusBin> bins_;
  std::vector<std::int64_t> selected_;
  std::vector<std::uint64_t> keys_;
};

}  // namespace herd
