#include "runtime/checkpoint/gguf_tensor_names.h"

#include <utility>

namespace herd::model {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;  // ggml's, Hugging Face's

constexpr Pair kWholes[] = {{"token_embd.weight", "model.embed_tokens.weight"},
                            {"output_norm.weight", "model.norm.weight"},
                            {"output.weight", "lm_head.weight"}};
constexpr Pair kLayers = {"blk.", "model.layers."};
constexpr Pair kParts[] = {
    {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},   {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"},
};

// `from` and `to`: which of a pair's two the name is written in, and is wanted in.
std::string renamed(std::string_view name, std::string_view Pair::*from, std::string_view Pair::*to) {
  for (const Pair& whole : kWholes) {
    if (name == whole.*from) return std::string(whole.*to);
  }
  const std::string unchanged(name);
  if (!name.starts_with(kLayers.*from)) return unchanged;
  name.remove_prefix((kLayers.*from).size());
  const std::size_t dot = name.find('.');
  const std::size_t last_dot = name.rfind('.');
  if (dot == std::string_view::npos || last_dot <= dot) return unchanged;
  const std::string_view layer = name.substr(0, dot);
  const std::string_view part = name.substr(dot + 1, last_dot - dot - 1);
  const std::string_view suffix = name.substr(last_dot);
  if (suffix != ".weight" && suffix != ".bias") return unchanged;
  for (const Pair& pair : kParts) {
    if (part != pair.*from) continue;
    return std::string(kLayers.*to) + std::string(layer) + "." + std::string(pair.*to) + std::string(suffix);
  }
  return unchanged;
}

}  // namespace

std::string hugging_face_name(std::string_view gguf_name) { return renamed(gguf_name, &Pair::first, &Pair::second); }

std::string gguf_name(std::string_view hugging_face_name) { return renamed(hugging_face_name, &Pair::second, &Pair::first); }

bool is_interleaved(std::string_view hugging_face_name) {
  return hugging_face_name.find(".self_attn.q_proj.") != std::string_view::npos ||
         hugging_face_name.find(".self_attn.k_proj.") != std::string_view::npos;
}

}  // namespace herd::model
