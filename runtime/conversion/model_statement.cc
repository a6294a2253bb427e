#include "runtime/conversion/model_statement.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "runtime/checkpoint/gguf_config.h"
#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"
#include "runtime/tokenizer/gguf_vocabulary_of.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kGenerationBytesMax = std::size_t{1} << 20;

std::uint32_t number(int value) { return static_cast<std::uint32_t>(value); }

void state_sizes(const LlamaConfig& config, GgufHead& head) {
  head.add("llama.vocab_size", number(config.vocab_size));
  head.add("llama.context_length", number(config.max_position_embeddings));
  head.add("llama.embedding_length", number(config.hidden_size));
  head.add("llama.block_count", number(config.layers));
  head.add("llama.feed_forward_length", number(config.intermediate_size));
  head.add("llama.attention.head_count", number(config.heads));
  head.add("llama.attention.head_count_kv", number(config.kv_heads));
  head.add("llama.attention.key_length", number(config.head_dim));
  head.add("llama.attention.value_length", number(config.head_dim));
  head.add("llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps);
}

// GGUF's numbers are float32 and the divisors rounded to it: the formula itself is said beside them.
void state_rope(const LlamaConfig& config, GgufHead& head) {
  const RopeConfig& rope = config.rope;
  head.add("llama.rope.dimension_count", number(config.head_dim));
  head.add("llama.rope.freq_base", static_cast<float>(rope.theta));
  head.add(exact_rope::kTheta, rope.theta);
  if (rope.type != RopeType::kLlama3 || !rope.frequency_divisors.empty()) return;
  head.add(exact_rope::kFactor, rope.factor);
  head.add(exact_rope::kLowFactor, rope.low_freq_factor);
  head.add(exact_rope::kHighFactor, rope.high_freq_factor);
  head.add(exact_rope::kPositions, number(rope.original_max_position_embeddings));
}

// The ends, the defaults under llama.cpp's keys, and generation_config.json as it is.
void state_generation(const GenerationConfig& generation, const std::string& folder, GgufHead& head) {
  const auto state = [&](const char* key, std::optional<double> value) {
    if (value) head.add(key, static_cast<float>(*value));
  };
  state("general.sampling.temp", generation.temperature);
  state("general.sampling.top_p", generation.top_p);
  state("general.sampling.min_p", generation.min_p);
  state("general.sampling.penalty_repeat", generation.repetition_penalty);
  if (generation.top_k && *generation.top_k >= 0) head.add("general.sampling.top_k", number(*generation.top_k));
  if (!generation.eos_ids.empty()) head.add(kEndIds, std::span<const std::int32_t>(generation.eos_ids));
  const fs::path path = fs::path(folder) / "generation_config.json";
  if (!files::is_file(path)) return;
  if (const auto text = files::read_text_file(path.string(), kGenerationBytesMax)) head.add(kGenerationText, *text);
}

// The text side of one model being stated.
class TextStatement {
 public:
  TextStatement(const ModelDescription& model, tokenizer::StatedVocabulary stated, GgufHead& head, std::vector<std::string>& unsaid)
      : model_(model), vocabulary_(std::move(stated.vocabulary)), head_(head), unsaid_(unsaid) {
    unsaid_.insert(unsaid_.end(), stated.unsaid.begin(), stated.unsaid.end());
  }

  void make() {
    state_tokens();
    state_begin();
    state_ends();
    state_id("tokenizer.ggml.unknown_token_id", vocabulary_.unknown_id);
    state_id("tokenizer.ggml.padding_token_id", named("pad_token", model_.generation.pad_id));
    state_templates();
  }

 private:
  [[nodiscard]] bool has_token(TokenId id) const {
    return id >= 0 && static_cast<std::size_t>(id) < vocabulary_.tokens.size();
  }

  // The token that a special one's text names, else `other`.
  [[nodiscard]] std::optional<TokenId> named(std::string_view special, std::optional<TokenId> other) const {
    for (const auto& [name, text] : model_.text.special_tokens) {
      if (name != special) continue;
      const auto token = std::find(vocabulary_.tokens.begin(), vocabulary_.tokens.end(), text);
      if (token != vocabulary_.tokens.end()) return static_cast<TokenId>(token - vocabulary_.tokens.begin());
    }
    return other;
  }

  void state_id(std::string_view key, std::optional<TokenId> id) {
    if (id && has_token(*id)) head_.add(key, static_cast<std::uint32_t>(*id));
  }
  void state_flag(std::string_view key, std::optional<bool> flag) {
    if (flag) head_.add_flag(key, *flag);
  }

  void state_tokens() {
    head_.add("tokenizer.ggml.model", vocabulary_.model);
    head_.add("tokenizer.ggml.pre", vocabulary_.pre);
    head_.add("tokenizer.ggml.tokens", std::span<const std::string>(vocabulary_.tokens));
    if (!vocabulary_.scores.empty()) head_.add("tokenizer.ggml.scores", std::span<const float>(vocabulary_.scores));
    head_.add("tokenizer.ggml.token_type", std::span<const std::int32_t>(vocabulary_.token_types));
    if (!vocabulary_.merges.empty()) head_.add("tokenizer.ggml.merges", std::span<const std::string>(vocabulary_.merges));
    state_flag("tokenizer.ggml.add_space_prefix", vocabulary_.add_space_prefix);
    state_flag("tokenizer.ggml.remove_extra_whitespaces", vocabulary_.remove_extra_whitespaces);
  }

  void state_begin() {
    const bool is_put = vocabulary_.add_bos.value_or(false);
    const auto other = vocabulary_.bos_id ? vocabulary_.bos_id : model_.generation.bos_id ? model_.generation.bos_id : model_.config.bos_id;
    state_id("tokenizer.ggml.bos_token_id", is_put ? vocabulary_.bos_id : named("bos_token", other));
    state_flag("tokenizer.ggml.add_bos_token", vocabulary_.add_bos);
  }

  // One end of sequences has the name eos, one of turns eot, one of messages eom; other readers know more of them by their texts.
  void state_ends() {
    const std::vector<TokenId>& ends = model_.generation.eos_ids;  // config.json's are among them
    const auto first = vocabulary_.eos_id ? vocabulary_.eos_id : ends.empty() ? std::nullopt : std::optional(ends.front());
    const auto eos = vocabulary_.add_eos.value_or(false) ? vocabulary_.eos_id : named("eos_token", first);
    state_id("tokenizer.ggml.eos_token_id", eos);
    state_flag("tokenizer.ggml.add_eos_token", vocabulary_.add_eos);
    for (const TokenId id : ends) {
      if (id == eos || !has_token(id)) continue;
      const std::string& text = vocabulary_.tokens[static_cast<std::size_t>(id)];
      const bool of_message = text.find("eom") != std::string::npos;
      const char* key = of_message ? "tokenizer.ggml.eom_token_id" : "tokenizer.ggml.eot_token_id";
      if (!head_.has(key)) state_id(key, id);
    }
  }

  void state_templates() {
    const TextParts& text = model_.text;
    if (!text.chat_problem.empty()) return unsaid_.push_back("a chat template, which cannot be read: " + text.chat_problem);
    if (!text.chat_template.empty()) head_.add("tokenizer.chat_template", text.chat_template);
    std::vector<std::string> names;
    for (const auto& [name, source] : text.named_templates) {
      const std::string key = "tokenizer.chat_template." + name;
      if (head_.has(key)) continue;
      head_.add(key, source);
      names.push_back(name);
    }
    if (!names.empty()) head_.add("tokenizer.chat_templates", std::span<const std::string>(names));
  }

  const ModelDescription& model_;
  const tokenizer::GgufVocabulary vocabulary_;
  GgufHead& head_;
  std::vector<std::string>& unsaid_;
};

// Keys of a file that hold of its own bytes only.
bool is_of_the_file(std::string_view key) {
  return key.starts_with("split.") || key == "general.alignment" || key == "general.file_type" || key == "general.quantization_version";
}

// Linear scaling is part of the divisors once they are written.
bool is_of_the_divisors(std::string_view key) {
  return key == "llama.rope.scaling.type" || key == "llama.rope.scaling.factor" || key == "llama.rope.scale_linear";
}

}  // namespace

Status state_model(const ModelDescription& model, const std::string& folder, const tokenizer::TokenizerDefinition* definition,
                   GgufHead& head, std::vector<std::string>& unsaid) {
  head.add("general.architecture", "llama");
  head.add("general.type", "model");
  const fs::path path = fs::path(folder).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  if (!name.empty()) head.add("general.name", name);
  state_sizes(model.config, head);
  state_rope(model.config, head);
  state_generation(model.generation, folder, head);
  if (definition == nullptr) {
    head.add("tokenizer.ggml.model", tokenizer::kNoVocabulary);
    return {};
  }
  auto stated = tokenizer::gguf_vocabulary_of(*definition, static_cast<std::size_t>(model.config.vocab_size));
  if (!stated) return bad_input(folder + ": " + stated.error().message());
  TextStatement(model, std::move(*stated), head, unsaid).make();
  return {};
}

void restate_model(const GgufFile& file, bool has_divisors, GgufHead& head) {
  for (const GgufValue& value : file.metadata()) {
    if (!is_of_the_file(value.key) && !(has_divisors && is_of_the_divisors(value.key))) head.add(value);
  }
}

}  // namespace herd::model
