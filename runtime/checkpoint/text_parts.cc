#include "runtime/checkpoint/text_parts.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/declared_tokens.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/gguf_metadata.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/shard_index.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 20;
constexpr std::size_t kJsonBytesMax = std::size_t{32} << 20;
constexpr std::size_t kTemplatesMax = 64;
constexpr const char* kTemplate = "chat_template";
constexpr const char* kDefault = "default";
constexpr std::string_view kGgufTemplate = "tokenizer.chat_template";

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

void keep_problem(const std::optional<JsonObject>& json, TextParts& text) {
  if (json && !json->status().ok() && text.chat_problem.empty()) text.chat_problem = json->status().message();
}

// Templates by their names; where a source has only one, it is called default.
using Templates = std::vector<std::pair<std::string, std::string>>;

// One template, a list of {name, template}, or an object of them.
Templates templates_in(const JsonObject& json) {
  Templates templates;
  if (!json.has(kTemplate)) return templates;
  if (json.is_string(kTemplate)) {
    templates.emplace_back(kDefault, json.string(kTemplate).value_or(""));
  } else if (json.text_of(kTemplate).starts_with('{')) {
    const auto named = json.object(kTemplate);
    for (const std::string& name : named->keys()) templates.emplace_back(name, named->string(name).value_or(""));
  } else {
    for (const JsonObject& entry : json.objects(kTemplate))
      templates.emplace_back(entry.string("name").value_or(""), entry.string("template").value_or(""));
  }
  return templates;
}

// chat_template.jinja, and additional_chat_templates/NAME.jinja.
Templates template_files(const fs::path& root, TextParts& text) {
  std::vector<std::pair<std::string, fs::path>> paths;
  if (files::is_file_or_dead_link(root / "chat_template.jinja")) paths.emplace_back(kDefault, root / "chat_template.jinja");
  std::error_code error;
  const fs::path more = root / "additional_chat_templates";
  for (auto at = fs::directory_iterator(more, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    const fs::path& path = at->path();
    if (path.extension() == ".jinja" && paths.size() < kTemplatesMax) paths.emplace_back(path.stem().string(), path);
  }
  Templates templates;
  for (const auto& [name, path] : paths) {
    auto content = files::read_text_file(path.string(), kTemplateBytesMax);
    if (content) templates.emplace_back(name, std::move(*content));
    else text.chat_problem = content.error().message();
  }
  return templates;
}

// Takes the templates of one source, unless an earlier source has some. `where` is named in the problem.
void take_templates(Templates templates, const std::string& where, TextParts& text) {
  if (templates.empty() || !text.chat_template.empty() || !text.named_templates.empty()) return;
  std::ranges::stable_sort(templates, {}, &Templates::value_type::first);
  std::vector<std::string> names;
  bool has_default = false;
  for (auto& [name, content] : templates) {
    names.push_back(name);
    has_default |= name == kDefault;
    if (name == kDefault) text.chat_template = std::move(content);
    else text.named_templates.emplace_back(name, std::move(content));
  }
  if (!has_default && text.chat_problem.empty())
    text.chat_problem = where + ": has chat templates (" + some_of(names) + "), but none is named default";
}

TokenizerFlags tokenizer_flags(const JsonObject& config) {
  return {config.boolean("add_bos_token"), config.boolean("add_eos_token"), config.boolean("add_prefix_space"),
          config.boolean("legacy")};
}

// The ends that a file declares, once the rest of it is read. A link that leads nowhere declares nothing.
void keep_ends(const std::optional<JsonObject>& json, const fs::path& path, TextParts& text) {
  if (json) add_declared_ends(*json, text.ends);
  else if (files::is_file(path) && text.ends_problem.empty()) text.ends_problem = text.chat_problem;
}

}  // namespace

TextParts read_text_parts(const std::string& directory) {
  const fs::path root(directory);
  const fs::path config_path = root / "tokenizer_config.json";
  const fs::path map_path = root / "special_tokens_map.json";
  TextParts text;
  text.tokenizer_json = path_if_file(root / "tokenizer.json");
  text.tokenizer_model = path_if_file(root / "tokenizer.model");
  take_templates(template_files(root, text), directory, text);
  const auto config = read_json(config_path, text);
  if (config) take_templates(templates_in(*config), config_path.string(), text);
  if (config) text.tokenizer_flags = tokenizer_flags(*config);
  keep_ends(config, config_path, text);
  const auto processor = read_json(root / "chat_template.json", text);
  if (processor) take_templates(templates_in(*processor), (root / "chat_template.json").string(), text);
  const auto map = read_json(map_path, text);
  keep_ends(map, map_path, text);
  if (!text.ends_problem.empty()) text.ends = {};
  const auto added = read_json(root / "added_tokens.json", text);
  DeclaredTokens tokens = declared_tokens(config ? &*config : nullptr, map ? &*map : nullptr, added ? &*added : nullptr);
  text.special_tokens = std::move(tokens.special_tokens);
  text.added_tokens = std::move(tokens.added_tokens);
  for (const auto* json : {&config, &processor, &map, &added}) keep_problem(*json, text);
  return text;
}

void read_text_parts(const GgufFile& file, TextParts& text) {
  GgufMetadata metadata(file);
  Templates templates;
  for (const GgufValue& value : file.metadata()) {
    const std::string_view key = value.key;
    if (!key.starts_with(kGgufTemplate)) continue;
    const std::string_view rest = key.substr(kGgufTemplate.size());
    if (rest.empty()) templates.emplace_back(kDefault, metadata.string(key));
    else if (rest.starts_with('.') && templates.size() < kTemplatesMax) templates.emplace_back(rest.substr(1), metadata.string(key));
  }
  take_templates(std::move(templates), file.file(), text);
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens) metadata.keep(tokens.error());
  constexpr std::pair<const char*, const char*> kKeys[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                           {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                                           {"sep_token", "tokenizer.ggml.seperator_token_id"},
                                                           {"pad_token", "tokenizer.ggml.padding_token_id"},
                                                           {"cls_token", "tokenizer.ggml.cls_token_id"},
                                                           {"mask_token", "tokenizer.ggml.mask_token_id"}};
  for (const auto& [name, key] : kKeys) {
    const auto id = metadata.token_id(key);
    if (id && tokens && static_cast<std::size_t>(*id) < tokens->size())
      text.special_tokens.emplace_back(name, (*tokens)[static_cast<std::size_t>(*id)]);
  }
  if (!metadata.status().ok()) text.chat_problem = metadata.status().message();
}

}  // namespace herd::model
