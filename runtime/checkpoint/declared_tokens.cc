#include "runtime/checkpoint/declared_tokens.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>

namespace herd::model {
namespace {

using tokenizer::AddedToken;

constexpr const char* kStandardNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
constexpr const char* kExtra = "extra_special_tokens";
constexpr const char* kExtraBefore = "additional_special_tokens";  // its name until transformers 5
constexpr const char* kDecoder = "added_tokens_decoder";
constexpr TokenId kNoId = -1;

// A special token under the name that templates know it by.
struct NamedToken {
  std::string name;
  AddedToken token;
};

AddedToken special_token(std::string content) {
  AddedToken token;
  token.id = kNoId;
  token.content = std::move(content);
  return token;
}

// {"content": text, "lstrip": …}; `is_special` where it does not say. What is not special is normalized unless it says.
AddedToken token_of(const JsonObject& json, bool is_special) {
  AddedToken token = special_token(json.string("content").value_or(""));
  token.special = json.boolean("special").value_or(is_special);
  token.strip_left = json.boolean("lstrip").value_or(false);
  token.strip_right = json.boolean("rstrip").value_or(false);
  token.normalized = json.boolean("normalized").value_or(!token.special);
  token.single_word = json.boolean("single_word").value_or(false);
  return token;
}

bool is_object(const JsonObject& json, std::string_view key) { return json.text_of(key).starts_with('{'); }

// A text, or an object with its content.
void add_named(const JsonObject& json, const std::string& name, bool is_special, std::vector<NamedToken>& named) {
  if (!json.has(name)) return;
  AddedToken token;
  if (json.is_string(name)) {
    token = special_token(json.string(name).value_or(""));
  } else {
    const auto object = json.object(name);
    if (!object) return;
    token = token_of(*object, is_special);
  }
  const auto known = std::ranges::find(named, name, &NamedToken::name);
  if (known == named.end()) named.push_back({name, std::move(token)});
  else known->token = std::move(token);
}

// A model may name tokens of its own, "image_token": "<image>". Switches such as add_bos_token are no text.
bool is_own_name(const JsonObject& json, const std::string& key) {
  if (!key.ends_with("_token")) return false;
  return json.is_string(key) || (is_object(json, key) && json.object(key)->has("__type"));
}

// What a file names replaces what is known under the same name. `is_special`: objects are, where they do not say.
void add_all_named(const JsonObject& json, bool is_special, std::vector<NamedToken>& named) {
  for (const char* name : kStandardNames) add_named(json, name, is_special, named);
  for (const std::string& key : json.keys()) {
    if (is_own_name(json, key)) add_named(json, key, is_special, named);
  }
  if (!is_object(json, kExtra)) return;
  if (const auto own = json.object(kExtra)) {
    for (const std::string& key : own->keys()) add_named(*own, key, is_special, named);
  }
}

// Tokens in their order, each text once.
class TokenList {
 public:
  void add(AddedToken token) {
    if (!token.content.empty() && contents_.insert(token.content).second) tokens_.push_back(std::move(token));
  }
  [[nodiscard]] bool has(const std::string& content) const { return contents_.contains(content); }
  [[nodiscard]] std::vector<AddedToken>& tokens() { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_set<std::string> contents_;
};

// Special tokens without a name, as texts or objects.
void add_extra(const JsonObject& json, bool is_special, TokenList& extra) {
  const char* key = json.has(kExtra) && json.text_of(kExtra) != "[]" ? kExtra : kExtraBefore;
  const std::string text = json.text_of(key);
  if (!json.has(key) || text.starts_with('{')) return;
  if (text.starts_with("[{")) {
    for (const JsonObject& entry : json.objects(key)) extra.add(token_of(entry, is_special));
  } else {
    for (std::string& content : json.strings(key)) extra.add(special_token(std::move(content)));
  }
}

std::optional<TokenId> id_of(const std::string& key) {
  TokenId id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0) return {};
  return id;
}

// {"128000": {"content": "<|begin_of_text|>", …}}
std::vector<AddedToken> tokens_of_decoder(const JsonObject& config) {
  std::vector<AddedToken> tokens;
  const auto decoder = config.object(kDecoder);
  if (!decoder) return tokens;
  for (const std::string& key : decoder->keys()) {
    const auto id = id_of(key);
    if (!id) decoder->refuse(key, "is not a token id");
    const auto entry = decoder->object(key);
    if (!id || !entry) break;
    tokens.push_back(token_of(*entry, false));
    tokens.back().id = *id;
  }
  return tokens;
}

// {"<|new|>": 128256}. Such a token is special where it stands among the special ones.
std::vector<AddedToken> tokens_of_added(const JsonObject& added, const TokenList& special) {
  std::vector<AddedToken> tokens;
  for (const std::string& content : added.keys()) {
    const auto id = added.integer(content, 0, std::numeric_limits<TokenId>::max());
    if (!id) break;
    AddedToken& token = tokens.emplace_back(special_token(content));
    token.id = static_cast<TokenId>(*id);
    token.special = special.has(content);
    token.normalized = !token.special;
  }
  return tokens;
}

// All special tokens, those with a name first.
TokenList all_special(const std::vector<NamedToken>& named, TokenList& extra) {
  TokenList all;
  for (NamedToken one : named) {
    one.token.special = true;
    all.add(std::move(one.token));
  }
  for (const AddedToken& token : extra.tokens()) all.add(token);
  return all;
}

// The numbered tokens in the order of their ids, then the special tokens that no file numbers.
std::vector<AddedToken> joined(std::vector<AddedToken> numbered, TokenList& special) {
  std::ranges::stable_sort(numbered, {}, &AddedToken::id);
  TokenList all;
  for (AddedToken& token : numbered) all.add(std::move(token));
  for (AddedToken& token : special.tokens()) all.add(std::move(token));
  return std::move(all.tokens());
}

}  // namespace

DeclaredTokens declared_tokens(const JsonObject* config, const JsonObject* special_map, const JsonObject* added) {
  const bool decoder_says_all = config != nullptr && config->has(kDecoder);
  std::vector<NamedToken> named;
  TokenList extra;
  if (config != nullptr) {
    add_all_named(*config, false, named);
    add_extra(*config, false, extra);
  }
  if (special_map != nullptr && !decoder_says_all) {
    add_all_named(*special_map, true, named);
    add_extra(*special_map, true, extra);
  }
  DeclaredTokens tokens;
  for (const NamedToken& one : named) tokens.special_tokens.emplace_back(one.name, one.token.content);
  TokenList special = all_special(named, extra);
  std::vector<AddedToken> numbered;
  if (decoder_says_all) numbered = tokens_of_decoder(*config);
  else if (added != nullptr) numbered = tokens_of_added(*added, special);
  tokens.added_tokens = {joined(std::move(numbered), special), decoder_says_all};
  return tokens;
}

}  // namespace herd::model
