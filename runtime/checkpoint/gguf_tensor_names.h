#pragma once
// What a llama model's tensors are called in GGUF files and in Hugging Face's.

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::model {

// Both leave a name as it is that is none of a llama model: "blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight".
[[nodiscard]] std::string hugging_face_name(std::string_view gguf_name);
[[nodiscard]] std::string gguf_name(std::string_view hugging_face_name);

// Whether GGUF holds the rows of each head (entries, in a bias) in interleaved RoPE order, by the Hugging Face name: converters
// write the "llama" architecture's q and k so, as Meta's files have them, heads in place.
[[nodiscard]] bool is_interleaved(std::string_view hugging_face_name);

// Half-split row h·D + i is interleaved row h·D + 2i, row h·D + D/2 + i is row h·D + 2i + 1, for i < D/2.
[[nodiscard]] inline std::int64_t interleaved_index(std::int64_t row, std::int64_t head_dim) {
  const std::int64_t in_head = row % head_dim;
  const std::int64_t half = head_dim / 2;
  return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

}  // namespace herd::model
