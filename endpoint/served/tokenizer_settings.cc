#include "endpoint/served/tokenizer_settings.h"

#include <cstddef>
#include <filesystem>
#include <optional>

#include "runtime/checkpoint/json_object.h"
#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"

namespace herd::served {
namespace {

using tokenizer::TiktokenSpecials;

constexpr std::size_t kParamsBytesMax = std::size_t{1} << 20;
constexpr int kLlama30Positions = 8192;  // 3.1 and later have more, by scaled RoPE

// Meta's own configuration, where there is one beside the tokenizer.
std::optional<TiktokenSpecials> told_by_params(const std::filesystem::path& params) {
  if (!files::is_file(params)) return std::nullopt;
  const auto text = files::read_text_file(params.string(), kParamsBytesMax);
  if (!text) return std::nullopt;
  const auto json = model::JsonObject::parse(*text, params.string());
  if (!json) return std::nullopt;
  return json->boolean("use_scaled_rope").value_or(false) ? TiktokenSpecials::kLlama31 : TiktokenSpecials::kLlama30;
}

TiktokenSpecials specials_of(const std::string& file, const model::LlamaConfig& config, const std::string& version) {
  if (!version.empty()) return version == "3" ? TiktokenSpecials::kLlama30 : TiktokenSpecials::kLlama31;
  if (const auto told = told_by_params(std::filesystem::path(file).parent_path() / "params.json")) return *told;
  const bool scaled = config.rope.type == model::RopeType::kLlama3 || !config.rope.frequency_divisors.empty();
  return !scaled && config.max_position_embeddings == kLlama30Positions ? TiktokenSpecials::kLlama30 : TiktokenSpecials::kLlama31;
}

}  // namespace

Status check_tokenizer_version(const std::string& version) {
  if (version.empty() || version == "3" || version == "3.1") return {};
  return usage_error("--version must be 3 or 3.1, not " + version);
}

tokenizer::TokenizerModelOptions model_file_options(const std::string& file, const model::TextParts& text,
                                                    const model::LlamaConfig& config, const std::string& version) {
  tokenizer::TokenizerModelOptions options;
  options.specials = specials_of(file, config, version);
  tokenizer::SentencePieceOptions& sentencepiece = options.sentencepiece;
  const model::TokenizerFlags& flags = text.tokenizer_flags;
  sentencepiece.add_bos_token = flags.add_bos_token.value_or(sentencepiece.add_bos_token);
  sentencepiece.add_eos_token = flags.add_eos_token.value_or(sentencepiece.add_eos_token);
  sentencepiece.add_prefix_space = flags.add_prefix_space;
  sentencepiece.legacy = flags.legacy.value_or(sentencepiece.legacy);
  sentencepiece.declared = text.added_tokens;
  return options;
}

}  // namespace herd::served
