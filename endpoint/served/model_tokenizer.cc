#include "endpoint/served/model_tokenizer.h"

#include <cstddef>
#include <filesystem>
#include <utility>

#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/text_parts.h"
#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/tokenizer_model.h"

namespace herd::served {
namespace {

namespace fs = std::filesystem;
using tokenizer::TiktokenSpecials;

constexpr std::size_t kTokenizerBytesMax = std::size_t{32} << 20;
constexpr std::size_t kParamsBytesMax = std::size_t{1} << 20;
constexpr int kLlama30Positions = 8192;  // 3.1 and later have more, by scaled RoPE

// What a JSON parser refuses was cut or overwritten on its way here.
bool is_damaged(const std::string& json_file) {
  const auto text = files::read_text_file(json_file, kTokenizerBytesMax);
  return !text || !model::JsonObject::parse(*text, json_file);
}

// Meta's own configuration, where there is one beside the tokenizer.
std::optional<TiktokenSpecials> told_by_params(const fs::path& params) {
  if (!files::is_file(params)) return std::nullopt;
  const auto text = files::read_text_file(params.string(), kParamsBytesMax);
  const auto json = text ? model::JsonObject::parse(*text, params.string()) : fail(text.error());
  if (!json) return std::nullopt;
  return json->boolean("use_scaled_rope").value_or(false) ? TiktokenSpecials::kLlama31 : TiktokenSpecials::kLlama30;
}

TiktokenSpecials specials_of(const model::OpenedModel& model, const std::string& file, const std::string& version) {
  if (!version.empty()) return version == "3" ? TiktokenSpecials::kLlama30 : TiktokenSpecials::kLlama31;
  if (const auto told = told_by_params(fs::path(file).parent_path() / "params.json")) return *told;
  const model::LlamaConfig& config = model.config();
  const bool scaled = config.rope.type == model::RopeType::kLlama3 || !config.rope.frequency_divisors.empty();
  return !scaled && config.max_position_embeddings == kLlama30Positions ? TiktokenSpecials::kLlama30 : TiktokenSpecials::kLlama31;
}

tokenizer::SentencePieceOptions sentencepiece_options(const model::TextParts& text) {
  tokenizer::SentencePieceOptions options;
  options.add_bos_token = text.tokenizer_flags.add_bos_token.value_or(options.add_bos_token);
  options.add_eos_token = text.tokenizer_flags.add_eos_token.value_or(options.add_eos_token);
  options.add_prefix_space = text.tokenizer_flags.add_prefix_space;
  options.legacy = text.tokenizer_flags.legacy.value_or(options.legacy);
  options.added = text.added_tokens;
  return options;
}

Expected<tokenizer::Tokenizer> tokenizer_in(const std::string& model, const model::GgufFile& gguf) {
  auto vocabulary = model::gguf_vocabulary(gguf);
  if (!vocabulary) return fail(vocabulary.error());
  auto loaded = tokenizer::tokenizer_from_vocabulary(*vocabulary);
  if (!loaded) return fail({loaded.error().code(), model + ": " + loaded.error().message()});
  return loaded;
}

}  // namespace

Status check_tokenizer_version(const std::string& version) {
  if (version.empty() || version == "3" || version == "3.1") return {};
  return usage_error("--version must be 3 or 3.1, not " + version);
}

Expected<OpenedTokenizer> open_tokenizer(const model::OpenedModel& model, const TokenizerSettings& settings) {
  if (Status status = check_tokenizer_version(settings.version); !status.ok()) return fail(std::move(status));
  const std::string& path = settings.path;
  const std::string& name = model.files.path;
  // What stands beside a tokenizer counts, and for one that lies elsewhere what stands there.
  const model::TextParts elsewhere = path.empty() ? model::TextParts() : model::read_text_parts(fs::path(path).parent_path().string());
  const model::TextParts& text = path.empty() ? model.description.text : elsewhere;
  const bool asked_model = fs::path(path).filename().string().find(".model") != std::string::npos;
  const std::string json = path.empty() ? text.tokenizer_json : asked_model ? std::string() : path;
  const std::string file = path.empty() ? text.tokenizer_model : asked_model ? path : std::string();
  Expected<tokenizer::Tokenizer> loaded = fail(missing(""));
  if (!json.empty()) {
    loaded = tokenizer::load_tokenizer_json(json, text.added_tokens);
  } else if (!file.empty()) {
    loaded = tokenizer::load_tokenizer_model(file, {specials_of(model, file, settings.version), sentencepiece_options(text)});
  } else if (model.gguf() != nullptr && model.gguf()->value("tokenizer.ggml.model") != nullptr) {
    loaded = tokenizer_in(name, *model.gguf());
  } else {
    return OpenedTokenizer{};
  }
  Status refused = loaded ? Status() : loaded.error();
  const int vocab_size = model.config().vocab_size;
  if (loaded && loaded->ordinary_size() > static_cast<std::size_t>(vocab_size))
    refused = bad_input(name + ": the tokenizer has " + std::to_string(loaded->ordinary_size()) +
                        " tokens but the model's vocab_size is " + std::to_string(vocab_size));
  if (refused.ok()) return OpenedTokenizer{std::move(*loaded), {}};
  if (!path.empty() || refused.code() == StatusCode::kMissing || (!json.empty() && is_damaged(json)))
    return fail(std::move(refused));
  return OpenedTokenizer{std::nullopt, std::move(refused)};
}

}  // namespace herd::served
