#include "runtime/checkpoint/end_ids.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <unordered_set>
#include <utility>

#include "runtime/files/file_bytes.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/json_object.h"

namespace herd::model {
namespace {

constexpr std::size_t kFileBytesMax = std::size_t{32} << 20;
constexpr const char* kEnd = "eos_token";

void add_names(const JsonObject& json, std::vector<std::string>& names) {
  if (!json.has(kEnd)) return;
  const std::string text = json.text_of(kEnd);
  if (json.is_string(kEnd)) {
    names.push_back(json.string(kEnd).value_or(""));
  } else if (text.starts_with('{')) {
    names.push_back(json.object(kEnd)->string("content").value_or(""));
  } else if (text.starts_with("[{")) {
    for (const JsonObject& entry : json.objects(kEnd)) names.push_back(entry.string("content").value_or(""));
  } else if (text.starts_with("[\"")) {
    for (std::string& name : json.strings(kEnd)) names.push_back(std::move(name));
  }
}

void add_special_tokens(const JsonObject& json, DeclaredEnds& declared) {
  constexpr const char* kDecoder = "added_tokens_decoder";
  if (!json.has(kDecoder) || !json.text_of(kDecoder).starts_with('{')) return;
  const auto decoder = json.object(kDecoder);
  for (const std::string& key : decoder->keys()) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc{} || end != key.data() + key.size() || id < 0) continue;
    const auto token = decoder->object(key);
    if (token && token->boolean("special").value_or(false))
      declared.special_tokens.emplace_back(id, token->string("content").value_or(""));
  }
}

}  // namespace

EndIds join_end_ids(std::initializer_list<std::span<const TokenId>> sources, int vocab_size) {
  EndIds ends;
  std::unordered_set<TokenId> seen;
  for (const std::span<const TokenId> source : sources) {
    for (const TokenId id : source) {
      if (seen.insert(id).second) (id < vocab_size ? ends.ids : ends.dropped).push_back(id);
    }
  }
  return ends;
}

void add_declared_ends(const JsonObject& json, DeclaredEnds& declared) {
  add_names(json, declared.names);
  add_special_tokens(json, declared);
  std::erase(declared.names, std::string());
}

Expected<DeclaredEnds> read_declared_ends(const std::string& folder) {
  DeclaredEnds declared;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string path = (std::filesystem::path(folder) / name).string();
    if (!files::is_file(path)) continue;
    const auto text = files::read_text_file(path, kFileBytesMax);
    if (!text) return fail(text.error());
    const auto json = JsonObject::parse(*text, path);
    if (!json) return fail(json.error());
    add_declared_ends(*json, declared);
  }
  return declared;
}

std::vector<std::pair<TokenId, std::string>> read_special_tokens(const std::string& tokenizer_json) {
  std::vector<std::pair<TokenId, std::string>> tokens;
  const auto text = files::read_text_file(tokenizer_json, kFileBytesMax);
  if (!text) return tokens;
  const auto json = JsonObject::parse(*text, tokenizer_json);
  if (!json || !json->text_of("added_tokens").starts_with("[{")) return tokens;
  for (const JsonObject& token : json->objects("added_tokens")) {
    const auto id = token.integer("id", 0, std::numeric_limits<TokenId>::max());
    if (id && token.boolean("special").value_or(false))
      tokens.emplace_back(static_cast<TokenId>(*id), token.string("content").value_or(""));
  }
  return tokens;
}

}  // namespace herd::model
