// A GGUF model of architecture "llama" as a checkpoint: ggml's tensor names → Hugging Face's, and the vocabulary's keys.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/gguf_config.h"
#include "runtime/checkpoint/gguf_metadata.h"
#include "runtime/checkpoint/text_parts.h"
#include "runtime/tokenizer/gguf_vocabulary.h"

namespace herd::model {
namespace {

// ggml's name → Hugging Face's; unchanged when it is not one of a llama model.
std::string hugging_face_name(std::string_view name) {
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},   {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"},
  };
  const std::string unchanged(name);
  if (!name.starts_with("blk.")) return unchanged;
  name.remove_prefix(4);
  const std::size_t dot = name.find('.');
  const std::size_t last_dot = name.rfind('.');
  if (dot == std::string_view::npos || last_dot <= dot) return unchanged;
  const std::string_view layer = name.substr(0, dot);
  const std::string_view part = name.substr(dot + 1, last_dot - dot - 1);
  const std::string_view suffix = name.substr(last_dot);
  if (suffix != ".weight" && suffix != ".bias") return unchanged;
  for (const auto& [ggml, hugging_face] : kParts) {
    if (part == ggml) {
      return "model.layers." + std::string(layer) + "." + std::string(hugging_face) + std::string(suffix);
    }
  }
  return unchanged;
}

// Converters write the "llama" architecture with q and k rows in interleaved order (Meta's), heads in place.
bool is_interleaved(std::string_view hugging_face_name) {
  return hugging_face_name.find(".self_attn.q_proj.") != std::string_view::npos ||
         hugging_face_name.find(".self_attn.k_proj.") != std::string_view::npos;
}

void add_tensors(const GgufFile& file, StoredModel& model) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == kRopeDivisors) continue;  // part of the config now
    StoredTensor& stored = model.tensors.emplace_back();
    stored.info.name = hugging_face_name(tensor.name);
    stored.info.source_name = std::string(tensor.name);
    stored.info.encoding = tensor.encoding_text();
    stored.info.bytes = tensor.end - tensor.begin;
    stored.info.file = file.file();
    stored.shape = tensor.shape;
    stored.encoding = tensor.encoding();
    stored.bytes = file.bytes();
    stored.begin = tensor.begin;
    stored.interleaved = is_interleaved(stored.info.name);
  }
}

}  // namespace

Expected<StoredModel> read_gguf_model(std::vector<GgufFile> parts) {
  StoredModel model;
  model.config_file = parts.front().file();
  auto config = read_gguf_config(parts, model.warnings);
  if (!config) return fail(config.error());
  model.config = std::move(*config);
  auto generation = read_gguf_generation(parts.front());
  if (!generation) return fail(generation.error());
  model.generation = std::move(*generation);
  read_text_parts(parts.front(), model.text);
  for (const GgufFile& part : parts) add_tensors(part, model);
  model.gguf = std::make_unique<GgufFile>(std::move(parts.front()));
  return model;
}

Expected<tokenizer::GgufVocabulary> gguf_vocabulary(const GgufFile& file) {
  GgufMetadata metadata(file);
  tokenizer::GgufVocabulary vocabulary;
  vocabulary.model = metadata.string("tokenizer.ggml.model");
  vocabulary.pre = metadata.string("tokenizer.ggml.pre");
  vocabulary.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  vocabulary.eos_id = metadata.token_id("tokenizer.ggml.eos_token_id");
  vocabulary.eot_id = metadata.token_id("tokenizer.ggml.eot_token_id");
  vocabulary.unknown_id = metadata.token_id("tokenizer.ggml.unknown_token_id");
  vocabulary.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix");
  vocabulary.remove_extra_whitespaces = metadata.boolean("tokenizer.ggml.remove_extra_whitespaces");
  vocabulary.chat_template = metadata.string("tokenizer.chat_template");
  if (!metadata.status().ok()) return fail(metadata.status());

  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens) return fail(tokens.error());
  vocabulary.tokens.assign(tokens->begin(), tokens->end());
  const auto merges = file.strings("tokenizer.ggml.merges");
  if (!merges) return fail(merges.error());
  vocabulary.merges.assign(merges->begin(), merges->end());
  if (vocabulary.model == "llama") {
    auto scores = file.floats("tokenizer.ggml.scores");
    if (!scores) return fail(scores.error());
    vocabulary.scores = std::move(*scores);
  }
  const auto types = file.integers("tokenizer.ggml.token_type");
  if (!types) return fail(types.error());
  for (const std::int64_t type : *types) {
    if (type < 0 || type > 6) {
      return fail(bad_input(file.file() + ": tokenizer.ggml.token_type: " + std::to_string(type) + " is unknown"));
    }
    vocabulary.token_types.push_back(static_cast<std::int32_t>(type));
  }
  return vocabulary;
}

}  // namespace herd::model
