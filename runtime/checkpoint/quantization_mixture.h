#pragma once
// Which format each matrix of a model gets when the whole is quantised to one: as llama.cpp's `llama-quantize` mixes them, but that
// with q4_0 the embedding and the head become q8_0.

#include <cstdint>
#include <string_view>

#include "kernels/weight_format.h"
#include "runtime/model/llama_config.h"

namespace herd::model {

// Encodings that models are quantised to.
inline constexpr WeightFormat kQuantizedTo[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K, WeightFormat::kQ6_K};
[[nodiscard]] bool is_quantized_to(WeightFormat format);

// Columns of a matrix of the model by its Hugging Face name; 0 of a vector.
[[nodiscard]] std::int64_t matrix_columns(const LlamaConfig& config, std::string_view name);

// The format of a matrix, `wanted` being of kQuantizedTo; kBF16 where its rows are no multiple of 32, so that it stays as it is.
//   q8_0, q6_k   everywhere
//   q4_0         q8_0 in the embedding and the head: they are one matrix in a tied model, every token passes through both, and an
//                error of theirs is in every logit
//   q4_k         "Q4_K_M": q6_k in the head (so in a tied embedding), in v_proj and down_proj of the first and last eighth of the
//                layers and every third between them; q5_k in v_proj of the other layers of a model of 80
// Where rows are no multiple of 256, q5_0 stands in for q4_k and q8_0 for the others.
[[nodiscard]] WeightFormat mixture_format(const LlamaConfig& config, std::string_view name, WeightFormat wanted);

// Of how many matrices of a model another format stands in because of their rows.
[[nodiscard]] int matrices_stood_in_for(const LlamaConfig& config, WeightFormat wanted);

}  // namespace herd::model
