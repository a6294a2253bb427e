#pragma once
// RankSpec: all that one rank is made of, as a value: whoever has the model's files can make the rank of it, on a thread of this
// process or as a process of its own. No pointer; it crosses a wire (cluster/wire/rank_codec.h).

#include <chrono>
#include <cstdint>

#include "kernels/device.h"
#include "kernels/dtype.h"
#include "kernels/gpu_backend.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/ids.h"

namespace herd::placement {

// How much a rank holds and how much of it one step may ask for; the same for all ranks of a replica. `blocks` is the least that
// any of them has memory for, agreed before one of them allocates.
struct RankShape {
  std::int32_t block_size = 16;               // tokens
  std::int64_t blocks = 0;                    // of the KV pool
  std::int64_t positions_max = 0;             // of a sequence
  std::int64_t rows_max = 0;                  // of a step
  std::int64_t sequences_max = 0;             // of a step
  std::chrono::milliseconds step_timeout{0};  // of a step, of every collective in it, and of joining a group
  bool hash_logits = false;                   // ranks hash the rows of logits they sample (tests of P2)
  bool operator==(const RankShape&) const = default;
};

// What a rank computes on.
struct RankDevice {
  bool on_gpu = false;
  // On CPUs:
  CpuIsa isa = CpuIsa::kAuto;
  std::int32_t threads = 1;  // at least 1
  std::int32_t nice = 0;     // of those threads, [0, 19]
  // On a GPU:
  std::int32_t gpu = 0;
  GpuMatmul matmul = GpuMatmul::kOrdered;
  bool graphs = true;        // steps are recorded and repeated
  bool operator==(const RankDevice&) const = default;
};

struct RankSpec {
  ReplicaId replica;
  std::uint32_t rank = 0;             // within the replica, below `ranks`
  std::uint32_t ranks = 1;            // 1, 2, 4 or 8; the shard follows from both
  model::ModelFiles model;
  WeightFormat weights = WeightFormat::kBF16;  // computed in, see Encoding
  RankDevice device;
  RankShape shape;
  bool operator==(const RankSpec&) const = default;
};

}  // namespace herd::placement
