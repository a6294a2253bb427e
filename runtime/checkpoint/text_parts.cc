#include "runtime/checkpoint/text_parts.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/json_object.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 20;
constexpr std::size_t kJsonBytesMax = std::size_t{32} << 20;
constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

std::string path_if_file(const fs::path& path) {
  return files::is_file_or_dead_link(path) ? path.string() : std::string();
}

// Absent when the file is not there; a problem is kept in `text`.
std::optional<JsonObject> read_json(const fs::path& path, TextParts& text) {
  if (!files::is_file_or_dead_link(path)) return std::nullopt;
  const auto content = files::read_text_file(path.string(), kJsonBytesMax);
  if (content) {
    auto json = JsonObject::parse(*content, path.string());
    if (json) return std::move(*json);
    text.chat_problem = json.error().message();
  } else {
    text.chat_problem = content.error().message();
  }
  return std::nullopt;
}

void keep_problem(const JsonObject& json, TextParts& text) {
  if (!json.status().ok() && text.chat_problem.empty()) text.chat_problem = json.status().message();
}

// One template, or a list of {name, template} with one named default.
std::string template_in(const JsonObject& json) {
  if (!json.has("chat_template") || json.is_string("chat_template")) return json.string("chat_template").value_or("");
  std::string result;
  for (const JsonObject& entry : json.objects("chat_template")) {
    if (entry.string("name").value_or("") == "default") result = entry.string("template").value_or("");
  }
  return result;
}

// A text, or an added token: {"content": text, …}.
void add_special_tokens(const JsonObject& json, TextParts& text) {
  for (const char* name : kSpecialTokens) {
    const bool known = std::ranges::any_of(text.special_tokens, [&](const auto& token) { return token.first == name; });
    if (known || !json.has(name)) continue;
    const auto token = json.is_string(name) ? json.string(name) : std::nullopt;
    const auto added = token ? std::nullopt : json.object(name);
    if (token || added) text.special_tokens.emplace_back(name, token ? *token : added->string("content").value_or(""));
  }
}

// The ends that a file declares, once the rest of it is read. A link that leads nowhere declares nothing.
void keep_ends(const std::optional<JsonObject>& json, const fs::path& path, TextParts& text) {
  if (json) add_declared_ends(*json, text.ends);
  else if (files::is_file(path) && text.ends_problem.empty()) text.ends_problem = text.chat_problem;
}

}  // namespace

TextParts read_text_parts(const std::string& directory) {
  const fs::path root(directory);
  TextParts text;
  text.tokenizer_json = path_if_file(root / "tokenizer.json");
  text.tokenizer_model = path_if_file(root / "tokenizer.model");
  if (files::is_file_or_dead_link(root / "chat_template.jinja")) {
    auto found = files::read_text_file((root / "chat_template.jinja").string(), kTemplateBytesMax);
    if (found) text.chat_template = std::move(*found);
    else text.chat_problem = found.error().message();
  }
  const fs::path config_path = root / "tokenizer_config.json";
  const auto config = read_json(config_path, text);
  if (config) {
    if (text.chat_template.empty()) text.chat_template = template_in(*config);
    add_special_tokens(*config, text);
    keep_problem(*config, text);
  }
  keep_ends(config, config_path, text);
  if (const auto json = read_json(root / "chat_template.json", text)) {
    if (text.chat_template.empty()) text.chat_template = template_in(*json);
    keep_problem(*json, text);
  }
  const fs::path map_path = root / "special_tokens_map.json";
  const auto map = read_json(map_path, text);
  if (map) {
    add_special_tokens(*map, text);
    keep_problem(*map, text);
  }
  keep_ends(map, map_path, text);
  if (!text.ends_problem.empty()) text.ends = {};
  return text;
}

void read_text_parts(const GgufFile& file, TextParts& text) {
  const auto chat_template = file.string("tokenizer.chat_template");
  if (!chat_template) {
    text.chat_problem = chat_template.error().message();
    return;
  }
  text.chat_template = std::string(chat_template->value_or(std::string_view()));
  if (text.chat_template.empty()) return;
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  constexpr std::pair<const char*, const char*> kKeys[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                           {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                                           {"sep_token", "tokenizer.ggml.seperator_token_id"},
                                                           {"pad_token", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : kKeys) {
    const auto id = file.integer(key);
    if (!tokens || !id) {
      text.chat_problem = (tokens ? id.error() : tokens.error()).message();
      return;
    }
    if (*id && **id >= 0 && static_cast<std::size_t>(**id) < tokens->size())
      text.special_tokens.emplace_back(name, (*tokens)[static_cast<std::size_t>(**id)]);
  }
}

}  // namespace herd::model
