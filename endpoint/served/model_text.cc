#include "endpoint/served/model_text.h"

#include <cstddef>
#include <filesystem>
#include <utility>

#include "endpoint/chat/built_in_templates.h"
#include "endpoint/chat/chat_clock.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/text_parts.h"
#include "runtime/files/file_bytes.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/tokenizer_model.h"

namespace herd::served {
namespace {

constexpr std::size_t kTokenizerBytesMax = std::size_t{32} << 20;

constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 20;

// Empty: the checkpoint has none of its own.
std::string template_for_tools(const model::TextParts& text) {
  for (const auto& [name, source] : text.named_templates)
    if (name == "tool_use") return source;
  return {};
}

Expected<chat::RenderOptions> render_options(const ChatSettings& settings) {
  chat::RenderOptions options;
  options.special_in_content = settings.special_in_content;
  if (settings.date.empty()) return options;
  const auto clock = chat::parse_chat_date(settings.date);
  if (!clock) return fail(clock.error());
  options.clock = *clock;
  return options;
}

// What a JSON parser refuses was cut or overwritten on its way here.
bool is_damaged(const std::string& json_file) {
  const auto text = files::read_text_file(json_file, kTokenizerBytesMax);
  return !text || !model::JsonObject::parse(*text, json_file);
}

bool has_vocabulary(const model::GgufFile& gguf) {
  if (gguf.value("tokenizer.ggml.model") == nullptr) return false;
  const auto kind = gguf.string("tokenizer.ggml.model");
  return !kind || (*kind != tokenizer::kNoVocabulary && *kind != "no_vocab");
}

Expected<tokenizer::Tokenizer> tokenizer_in(const std::string& model, const model::GgufFile& gguf) {
  auto vocabulary = model::gguf_vocabulary(gguf);
  if (!vocabulary) return fail(vocabulary.error());
  auto loaded = tokenizer::tokenizer_from_vocabulary(*vocabulary);
  if (!loaded) return fail({loaded.error().code(), model + ": " + loaded.error().message()});
  return loaded;
}

}  // namespace

Expected<OpenedTokenizer> open_tokenizer(const model::OpenedModel& model, const TokenizerSettings& settings) {
  if (Status status = check_tokenizer_version(settings.version); !status.ok()) return fail(std::move(status));
  const std::string& path = settings.path;
  const std::string& name = model.files.path;
  // What other files say of a tokenizer stands beside it.
  const model::TextParts text =
      path.empty() ? model.description.text : model::read_text_parts(std::filesystem::path(path).parent_path().string());
  // "tokenizer.model", Mistral's "tokenizer.model.v3"
  const bool names_model =
      !path.ends_with(".json") && std::filesystem::path(path).filename().string().find(".model") != std::string::npos;
  const std::string json = path.empty() ? text.tokenizer_json : path;
  const std::string model_file = path.empty() ? text.tokenizer_model : path;
  const bool from_json = !names_model && !json.empty();
  Expected<tokenizer::Tokenizer> loaded = fail(missing(""));
  if (from_json) {
    loaded = tokenizer::load_tokenizer_json(json, text.added_tokens);
  } else if (!model_file.empty()) {
    loaded = tokenizer::load_tokenizer_model(model_file, model_file_options(model_file, text, model.config(), settings.version));
  } else if (model.gguf() != nullptr && has_vocabulary(*model.gguf())) {
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
  if (!path.empty() || refused.code() == StatusCode::kMissing || (from_json && is_damaged(json)))
    return fail(std::move(refused));
  return OpenedTokenizer{std::nullopt, std::move(refused)};
}

Expected<std::optional<tokenizer::TokenizerDefinition>> folder_tokenizer(const model::OpenedModel& model) {
  const model::TextParts& text = model.description.text;
  Expected<tokenizer::TokenizerDefinition> loaded = fail(missing(""));
  if (!text.tokenizer_json.empty()) loaded = tokenizer::load_tokenizer_json_definition(text.tokenizer_json, text.added_tokens);
  const bool by_characters = loaded && loaded->model == tokenizer::ModelKind::kCharacterBpe;
  if (!text.tokenizer_model.empty() && (text.tokenizer_json.empty() || by_characters))
    loaded = tokenizer::load_tokenizer_model_definition(text.tokenizer_model,
                                                        model_file_options(text.tokenizer_model, text, model.config(), {}));
  if (loaded) return std::move(*loaded);
  if (text.tokenizer_json.empty() && text.tokenizer_model.empty()) return std::nullopt;
  return fail(loaded.error());
}

Expected<chat::ChatRenderer> open_chat(const model::TextParts& text, const std::optional<tokenizer::Tokenizer>& tokenizer,
                                       const ChatSettings& settings, const Say& warn) {
  const bool named = settings.format != "auto";
  if (named && !settings.template_path.empty())
    return fail(usage_error("--chat-format names a format and --chat-template another: give one of them"));
  const auto options = render_options(settings);
  if (!options) return fail(options.error());
  if (!tokenizer) return fail(bad_input("this checkpoint has no tokenizer, so no chat"));
  if (!settings.template_path.empty()) {
    auto source = files::read_text_file(settings.template_path, kTemplateBytesMax);
    if (!source) return fail(source.error());
    auto chat = chat::ChatRenderer::of_template({std::move(*source), {}}, text.special_tokens, *tokenizer, *options);
    if (!chat) return fail(bad_input(settings.template_path + ": " + chat.error().message()));
    return chat;
  }
  if (named) {
    warn(text.chat_template.empty()
             ? "chat format " + settings.format + ", as --chat-format says: the checkpoint has no chat template"
             : "warning: chat format " + settings.format +
                   ", as --chat-format says; the checkpoint's own chat template is not asked");
    return chat::ChatRenderer::of_format(settings.format, *tokenizer, *options);
  }
  if (!text.chat_problem.empty()) return fail(bad_input(text.chat_problem));
  if (text.chat_template.empty())
    return fail(bad_input("this checkpoint has no chat template; --chat-template FILE gives one, --chat-format " +
                          std::string(chat::kChatFormatNames) + " names a format"));
  return chat::ChatRenderer::of_template({text.chat_template, template_for_tools(text)}, text.special_tokens, *tokenizer, *options);
}

}  // namespace herd::served
