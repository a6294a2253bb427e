#pragma once
// A model's weights quantised while they are read: bfloat16, float16 and float32 checkpoints, and random weights, as if their
// matrices were stored in blocks.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "kernels/weight_format.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/weight_source.h"

namespace herd::model {

// Matrices whose rows are a multiple of 32 are quantised, each to its part of the mixture (quantization_mixture.h). Vectors, other
// matrices and what the source holds in blocks already pass through. read_rows() gives what the blocks stand for, so that who computes in
// floats, and digests, see the same model.
class QuantizingSource final : public WeightSource {
 public:
  // `wanted`: one of kQuantizedTo. `config`: of the model that `source` holds.
  QuantizingSource(std::shared_ptr<const WeightSource> source, LlamaConfig config, WeightFormat wanted);

  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override;
  std::optional<WeightFormat> stored_format(std::string_view name) const override;
  // Columns of what is quantised here are multiples of 32.
  Status read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                          std::int64_t col_end, void* out) const override;

 private:
  [[nodiscard]] std::optional<WeightFormat> made_here(std::string_view name) const;
  [[nodiscard]] Status each_row(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                std::int64_t col_end, const std::function<void(const float*)>& take) const;

  const std::shared_ptr<const WeightSource> source_;
  const LlamaConfig config_;
  const WeightFormat wanted_;
};

}  // namespace herd::model
