#pragma once
// One rank's weights, packed for the kernels, and how they get there: checkpoint rows → packer. Model code never sees
// a source layout. Weights are immutable once loaded; replicas in one process share them.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/model/encoding.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/shard_plan.h"
#include "runtime/model/weight_source.h"
#include "runtime/model/weights_digest.h"

namespace herd::model {

// `bias` pointers are null when the model has none; they are float vectors of this rank's outputs, except the two
// that are added after the all-reduce (o, down), which are whole.
//
// A stack is one matrix, or several where the tensors of it are in different formats.
using MatrixStack = std::vector<PackedMatrix>;

struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden]
  MatrixStack qkv;                        // [q + 2 kv heads of this rank * head_dim, hidden]
  const float* qkv_bias = nullptr;
  PackedMatrix o;                         // [hidden, q heads of this rank * head_dim], row-parallel
  const float* o_bias = nullptr;
  const float* mlp_norm = nullptr;        // [hidden]
  MatrixStack gate_up;                    // [2 * ffn of this rank, hidden], gate first
  const float* gate_up_bias = nullptr;
  PackedMatrix down;                      // [hidden, ffn of this rank], row-parallel
  const float* down_bias = nullptr;
};

struct LlamaWeights {
  PackedMatrix embedding;                 // [vocab, hidden], whole on every rank
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;      // [hidden]
  PackedMatrix head;                      // [vocab of this rank, hidden]
  std::vector<std::shared_ptr<DeviceBuffer>> memory;  // owns everything above

  [[nodiscard]] std::size_t bytes() const;            // of `memory`
  // The packed matrices that a decode step reads once (this rank), in its order, and their bytes.
  [[nodiscard]] std::vector<PackedMatrix> read_per_token() const;
  [[nodiscard]] std::size_t bytes_read_per_token() const;
};

// Uniform in ±sqrt(3 / columns) for matrices (an untied embedding: in ±1), 1 for norms, in ±0.1 for biases; element
// (name, row, column) has the same value whatever slice is read. `seed` picks another model.
std::unique_ptr<WeightSource> random_source(const LlamaConfig& config, std::uint64_t seed);

struct LoadReport {
  std::vector<std::string> non_finite;  // tensors with a NaN or infinity, each once
  std::vector<WeightsDigest> digests;   // of the ranks loaded, in order, where LoadOptions asks for them
};

struct LoadOptions {
  Encoding encoding;
  std::function<void(std::size_t, std::size_t)> progress;  // (bytes done, bytes in all), on the calling thread; or empty
  // Digests what is read: about a twelfth of the time that loading takes. For callers that read values more than once and
  // hold one reading against the other; who only wants a model's name reads it beside serving (runtime/model/source_digest.h).
  bool digest = false;
};

// Loads the slices of all ranks of one replica (`plans`, one a rank); the embedding is shared between them.
// What is found is added to `report`. kMissing when memory is short.
Expected<std::vector<std::shared_ptr<const LlamaWeights>>> load_weights(
    const LlamaConfig& config, const WeightSource& source, const std::vector<ShardPlan>& plans, Device& device,
    const LoadOptions& options, LoadReport& report);

}  // namespace herd::model
