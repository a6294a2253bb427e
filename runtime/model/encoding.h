#pragma once
// Encoding: the formats a model computes in.

#include <memory>
#include <vector>

#include "kernels/weight_format.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/weight_source.h"

namespace herd::model {

// Of each matrix, as files of blocks hold them: the head of 4-bit weights is often q6_k, and q, k and v may differ.
struct LayerFormats {
  WeightFormat q, k, v, o, gate, up, down;
  bool operator==(const LayerFormats&) const = default;
};
struct MatrixFormats {
  WeightFormat embedding = WeightFormat::kBF16;
  WeightFormat head = WeightFormat::kBF16;  // the embedding's when they are one
  std::vector<LayerFormats> layers;
  bool operator==(const MatrixFormats&) const = default;
};

// Activations and KV are f32 for f32 weights, else bf16 (rule 5); a product with blocks takes them as int8 (rule 9).
struct Encoding {
  WeightFormat weights = WeightFormat::kBF16;     // of the model as a whole, as users name it
  std::shared_ptr<const MatrixFormats> formats;   // null: every matrix is in `weights`

  [[nodiscard]] DType activations() const { return weights == WeightFormat::kF32 ? DType::kF32 : DType::kBF16; }
  [[nodiscard]] const char* name() const { return format_name(weights); }
  // What products take x as: "float32", "bfloat16", "int8". A name of arithmetic, for ids.
  [[nodiscard]] const char* arithmetic() const { return is_quantized(weights) ? "int8" : dtype_name(activations()); }

  [[nodiscard]] WeightFormat embedding() const { return formats == nullptr ? weights : formats->embedding; }
  [[nodiscard]] WeightFormat head() const { return formats == nullptr ? weights : formats->head; }
  [[nodiscard]] LayerFormats layer(int layer) const;
};

// A model of `config` in `weights`: plain numbers are what every matrix is turned into; blocks are taken as `source` stores them,
// and what it does not store in blocks stays as it is, or bf16 where it has to be expanded.
[[nodiscard]] Encoding encoding_of(const LlamaConfig& config, const WeightSource& source, WeightFormat weights);

}  // namespace herd::model
