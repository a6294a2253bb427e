#include "runtime/tokenizer/tokenizer_json.h"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/json_decoder.h"
#include "runtime/tokenizer/json_document.h"
#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/json_merges.h"
#include "runtime/tokenizer/json_normalizer.h"
#include "runtime/tokenizer/json_post_processor.h"
#include "runtime/tokenizer/json_pre_tokenizer.h"
#include "runtime/tokenizer/json_unigram.h"
#include "runtime/tokenizer/normalizer.h"
#include "runtime/tokenizer/token_map.h"
#include "runtime/tokenizer/tokenizer_file.h"
#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

constexpr std::size_t kRoomForAddedTokens = 1024;  // more of them move the vocabulary once

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

// One file being read. Each step returns ok or a message that begins with the field; tokenizer_json_definition() adds the file's
// name.
class Reader {
 public:
  Expected<TokenizerDefinition> parse(JsonDocument& document, const DeclaredAddedTokens& declared);

 private:
  Status read_stages(const json::object& root);
  Status read_model(JsonDocument& document, const json::object& model);
  Status refuse_what_changes_merging(const json::object& model);
  Status read_vocabulary(std::span<const SpelledToken> vocabulary);
  Status read_scored_vocabulary(const json::object& model);
  [[nodiscard]] VocabularyToken token_of(std::string_view spelling);
  Status read_unknown(const json::object& model);
  Status read_added_tokens(const json::object& root);
  Status read_added_token(const json::object& token, const std::string& where);
  Status add(AddedToken token, const std::string& where);
  Status join(const DeclaredAddedTokens& declared);
  void restate(const AddedToken& declared, AddedToken& own);
  [[nodiscard]] TokenId next_added_id() const;
  [[nodiscard]] bool every_byte_has_a_token() const;
  void make_room(std::size_t index) {
    if (index < taken_.size()) return;
    taken_.resize(index + 1);
    definition_.tokens.resize(index + 1);
  }

  TokenizerDefinition definition_;
  Normalizer normalizer_;
  JsonDecoder decoder_;
  std::size_t vocabulary_size_ = 0;
  TokenMap spelled_;  // vocabulary as written -> id; views into the document
  std::vector<bool> taken_;                // ids that have a token
  std::unordered_map<std::string, std::size_t> added_;  // text of an added token -> its place in the definition
  bool byte_level_ = false;
};

Expected<TokenizerDefinition> Reader::parse(JsonDocument& document, const DeclaredAddedTokens& declared) {
  const json::object& root = document.root();
  const json::value* model = json_member(root, "model");
  if (model == nullptr || !model->is_object()) return fail(bad_input("model: missing"));
  if (Status status = refuse_what_changes_merging(model->get_object()); !status.ok()) return fail(std::move(status));
  if (Status status = read_stages(root); !status.ok()) return fail(std::move(status));
  if (Status status = read_model(document, model->get_object()); !status.ok()) return fail(std::move(status));
  if (Status status = read_added_tokens(root); !status.ok()) return fail(std::move(status));
  if (Status status = join(declared); !status.ok()) return fail(std::move(status));
  if (Status status = read_unknown(model->get_object()); !status.ok()) return fail(std::move(status));
  if (decoder_.out_of_steps()) return fail(bad_input("decoder: its regular expressions take too long on this vocabulary"));
  return std::move(definition_);
}

Status Reader::read_stages(const json::object& root) {
  if (const json::value* normalizer = json_member(root, "normalizer")) {
    auto steps = read_json_normalizer(*normalizer);
    if (!steps) return steps.error();
    definition_.normalizer = std::move(*steps);
    auto built = Normalizer::build(definition_.normalizer);
    if (!built) return built.error();
    normalizer_ = std::move(*built);
  }
  if (const json::value* value = json_member(root, "pre_tokenizer")) {
    auto pre_tokenizer = read_json_pre_tokenizer(*value);
    if (!pre_tokenizer) return pre_tokenizer.error();
    definition_.pre_tokenizer = std::move(pre_tokenizer->stages);
    byte_level_ = pre_tokenizer->byte_level;
  }
  definition_.model = byte_level_ ? ModelKind::kByteBpe : ModelKind::kCharacterBpe;
  if (const json::value* value = json_member(root, "post_processor")) {
    auto around = read_json_post_processor(*value);
    if (!around) return around.error();
    definition_.prefix = std::move(around->prefix);
    definition_.suffix = std::move(around->suffix);
  }
  decoder_ = JsonDecoder::absent(byte_level_);
  if (const json::value* value = json_member(root, "decoder")) {
    auto decoder = JsonDecoder::read(*value);
    if (!decoder) return decoder.error();
    decoder_ = std::move(*decoder);
  }
  definition_.drops_leading_space = decoder_.drops_leading_space();
  definition_.first_token_drops = decoder_.first_token_drops();
  return {};
}

Status Reader::refuse_what_changes_merging(const json::object& model) {
  const auto type = json_type(model);
  if (type != "BPE" && type != "Unigram" && json_member(model, "type") != nullptr) {
    return bad_input("model.type: '" + std::string(type) + "' is not supported (BPE and Unigram are)");
  }
  if (const json::value* dropout = json_member(model, "dropout")) {
    boost::system::error_code error;
    if (dropout->to_number<double>(error) != 0.0 || error) return bad_input("model.dropout: must be null or 0");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json::value* affix = json_member(model, key);
    if (affix != nullptr && !(affix->is_string() && affix->get_string().empty())) {
      return bad_input(std::string("model.") + key + ": not supported");
    }
  }
  return {};
}

Status Reader::read_model(JsonDocument& document, const json::object& model) {
  if (json_type(model) == "Unigram") return read_scored_vocabulary(model);
  bool byte_fallback = false;
  if (Status status = read_json_flag(model, "byte_fallback", "model", byte_fallback); !status.ok()) return status;
  if (Status status = read_json_flag(model, "ignore_merges", "model", definition_.whole_piece_first); !status.ok()) return status;
  if (Status status = read_json_flag(model, "fuse_unk", "model", definition_.fuse_unknown); !status.ok()) return status;

  const json::value* vocabulary = json_member(model, "vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return bad_input("model.vocab: missing");
  const std::span<const SpelledToken> tokens = document.vocabulary();
  if (tokens.size() > kVocabularySizeMax) {
    return bad_input("model.vocab: more than " + std::to_string(kVocabularySizeMax) + " tokens");
  }
  spelled_ = document.take_spellings();
  const json::value* list = json_member(model, "merges");
  Status status;
  Expected<Table<Merge>> merges = fail(bad_input("model.merges: missing"));
  side_by_side(
      tokens.size(), [&] { status = read_vocabulary(tokens); },
      [&] {
        if (list != nullptr && list->is_array()) merges = read_json_merges(document, spelled_);
      });
  if (!status.ok()) return status;
  if (byte_fallback && !byte_level_) {
    for (std::size_t byte = 0; byte < definition_.byte_tokens.size(); ++byte) {
      const TokenId id = spelled_.find(spelling_of_byte(static_cast<std::uint8_t>(byte)));
      if (id == TokenMap::kNone) continue;
      definition_.byte_tokens[byte] = id;
      definition_.tokens[static_cast<std::size_t>(id)].kind = TokenKind::kUnused;  // no text becomes it by its spelling
    }
  }
  if (!merges) return merges.error();
  definition_.merges = std::move(*merges);
  return {};
}

Status Reader::read_vocabulary(std::span<const SpelledToken> vocabulary) {
  vocabulary_size_ = vocabulary.size();
  TokenId last = -1;
  for (const SpelledToken& token : vocabulary) last = std::max(last, token.id);
  definition_.tokens.reserve(static_cast<std::size_t>(last + 1) + kRoomForAddedTokens);
  for (const auto& [spelling, id] : vocabulary) {
    if (id == SpelledToken::kNoId) return bad_input("model.vocab['" + std::string(spelling) + "']: not a token id");
    const auto index = static_cast<std::size_t>(id);
    make_room(index);
    if (taken_[index]) return bad_input("model.vocab: id " + std::to_string(id) + " occurs twice");
    taken_[index] = true;
    definition_.tokens[index] = token_of(spelling);
  }
  return {};
}

Status Reader::read_scored_vocabulary(const json::object& model) {
  if (byte_level_) return bad_input("pre_tokenizer: ByteLevel in front of a Unigram model is not supported");
  const auto unigram = read_json_unigram(model);
  if (!unigram) return unigram.error();
  vocabulary_size_ = unigram->tokens.size();
  spelled_ = TokenMap(vocabulary_size_);
  for (const auto& [spelling, score] : unigram->tokens) {
    const std::size_t index = definition_.tokens.size();
    make_room(index);
    taken_[index] = true;
    definition_.tokens[index] = token_of(spelling);
    definition_.tokens[index].score = score;
    if (spelled_.insert(spelling, static_cast<TokenId>(index)) != TokenMap::kNone) {
      return bad_input("model.vocab[" + std::to_string(index) + "]: '" + std::string(spelling) + "' occurs twice");
    }
  }
  definition_.model = ModelKind::kUnigram;
  definition_.sums_in_double = true;
  definition_.fuse_unknown = true;
  definition_.unknown = unigram->unknown;
  for (std::size_t byte = 0; unigram->byte_fallback && byte < definition_.byte_tokens.size(); ++byte) {
    definition_.byte_tokens[byte] = spelled_.find(spelling_of_byte(static_cast<std::uint8_t>(byte)));
  }
  return {};
}

VocabularyToken Reader::token_of(std::string_view spelling) {
  VocabularyToken token;
  if (!byte_level_) {
    token.bytes = decoder_.bytes_of(spelling);
    token.kind = spelling.empty() ? TokenKind::kUnused : TokenKind::kOrdinary;
    if (token.bytes != spelling) token.spelling = spelling;
    return token;
  }
  auto bytes = bytes_from_alphabet(spelling);
  if (!bytes || bytes->empty()) {  // no text becomes it
    token.bytes = decoder_.bytes_of(spelling);
    return token;
  }
  token.kind = TokenKind::kOrdinary;
  if (decoder_.is_byte_level()) {
    token.bytes = std::move(*bytes);
    return token;
  }
  token.bytes = decoder_.bytes_of(spelling);
  if (token.bytes != *bytes) token.spelling = std::move(*bytes);
  return token;
}

// A text that needs an unknown token that is not there cannot be encoded; so such a token must be impossible to need.
Status Reader::read_unknown(const json::object& model) {
  const json::value* unknown = json_member(model, "unk_token");
  if (unknown == nullptr) return {};
  if (!unknown->is_string()) return bad_input("model.unk_token: not a string");
  if (every_byte_has_a_token()) return {};
  const TokenId id = spelled_.find(view(unknown->get_string()));
  if (id == TokenMap::kNone) return bad_input("model.unk_token: not in model.vocab");
  definition_.unknown = id;
  return {};
}

bool Reader::every_byte_has_a_token() const {
  if (!byte_level_) {
    return std::none_of(definition_.byte_tokens.begin(), definition_.byte_tokens.end(), [](TokenId id) { return id == kNoByteToken; });
  }
  std::array<bool, 256> present{};
  for (const VocabularyToken& token : definition_.tokens) {
    const std::string_view bytes = spelling_of(token);
    if (token.kind == TokenKind::kOrdinary && bytes.size() == 1) present[static_cast<unsigned char>(bytes[0])] = true;
  }
  return std::find(present.begin(), present.end(), false) == present.end();
}

Status Reader::read_added_tokens(const json::object& root) {
  const json::value* added = json_member(root, "added_tokens");
  if (added == nullptr) return {};
  if (!added->is_array()) return bad_input("added_tokens: not an array");
  const json::array& tokens = added->get_array();
  if (tokens.size() > kVocabularySizeMax) return bad_input("added_tokens: too many");
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string where = "added_tokens[" + std::to_string(i) + "]";
    if (!tokens[i].is_object()) return bad_input(where + ": not an object");
    if (Status status = read_added_token(tokens[i].get_object(), where); !status.ok()) return status;
  }
  return {};
}

Status Reader::read_added_token(const json::object& token, const std::string& where) {
  const json::value* id = json_member(token, "id");
  const auto content = json_text(token, "content");
  if (id == nullptr || !json_token_id(*id)) return bad_input(where + ".id: not a token id");
  if (!content || content->empty()) return bad_input(where + ".content: not a text");
  AddedToken added;
  added.id = *json_token_id(*id);
  added.content = *content;
  added.special = false;
  const std::array<std::pair<std::string_view, bool*>, 5> flags = {{{"special", &added.special},
                                                                    {"lstrip", &added.strip_left},
                                                                    {"rstrip", &added.strip_right},
                                                                    {"normalized", &added.normalized},
                                                                    {"single_word", &added.single_word}}};
  for (const auto& [key, value] : flags) {
    if (Status status = read_json_flag(token, key, where, *value); !status.ok()) return status;
  }
  return add(std::move(added), where);
}

// An added token that is an ordinary word as well stays one: merging builds it where it is not cut out.
Status Reader::add(AddedToken token, const std::string& where) {
  const auto index = static_cast<std::size_t>(token.id);
  make_room(index);
  VocabularyToken& entry = definition_.tokens[index];
  const TokenId known = spelled_.find(token.content);
  const bool in_vocabulary = known != TokenMap::kNone;
  if (in_vocabulary ? known != token.id : taken_[index]) {
    return bad_input(where + ": '" + token.content + "' and model.vocab disagree about id " + std::to_string(token.id));
  }
  if (token.content.size() > kAddedTokenBytesMax) {
    return bad_input(where + ": longer than " + std::to_string(kAddedTokenBytesMax) + " bytes");
  }
  // The reference shows a normalized token as its normalized text.
  if (token.normalized && !normalizer_.empty()) {
    const std::string text = normalizer_.apply({token.content, {}}).bytes;
    if (entry.spelling.empty() && entry.kind == TokenKind::kOrdinary) entry.spelling = entry.bytes;
    entry.bytes = decoder_.bytes_of(text);
  } else if (!in_vocabulary) {
    entry.bytes = decoder_.bytes_of(token.content);
  }
  if (token.special) {
    entry.kind = TokenKind::kSpecial;
  } else if (entry.kind != TokenKind::kOrdinary) {
    entry.kind = TokenKind::kAdded;
  }
  taken_[index] = true;
  added_.emplace(token.content, definition_.added.size());
  definition_.added.push_back(std::move(token));
  return {};
}

// As the library numbers tokens that are added: behind the vocabulary, which may have holes, and behind each other.
TokenId Reader::next_added_id() const {
  auto next = static_cast<TokenId>(vocabulary_size_);
  for (const AddedToken& token : definition_.added) next = std::max(next, token.id + 1);
  return next;
}

void Reader::restate(const AddedToken& declared, AddedToken& own) {
  const TokenId id = std::exchange(own, declared).id;
  own.id = id;
  const bool is_word = spelled_.find(own.content) != TokenMap::kNone && token_of(own.content).kind == TokenKind::kOrdinary;
  definition_.tokens[static_cast<std::size_t>(id)].kind =
      own.special ? TokenKind::kSpecial : is_word ? TokenKind::kOrdinary : TokenKind::kAdded;
}

Status Reader::join(const DeclaredAddedTokens& declared) {
  TokenId next = next_added_id();
  for (const AddedToken& token : declared.tokens) {
    const auto known = added_.find(token.content);
    if (known != added_.end()) {
      if (declared.restate && token.id >= 0) restate(token, definition_.added[known->second]);
      continue;
    }
    AddedToken joined = token;
    const TokenId word = spelled_.find(token.content);
    joined.id = word != TokenMap::kNone ? word : next++;
    if (Status status = add(std::move(joined), "added token"); !status.ok()) return status;
  }
  return {};
}

}  // namespace

Expected<TokenizerDefinition> tokenizer_json_definition(std::string_view content, std::string_view name,
                                                        const DeclaredAddedTokens& declared) {
  const std::string prefix = std::string(name) + ": ";
  if (content.size() > kTokenizerFileBytesMax) {
    return fail(bad_input(prefix + "larger than " + std::to_string(kTokenizerFileBytesMax) + " bytes"));
  }
  auto document = JsonDocument::parse(content);
  if (!document) return fail(bad_input(prefix + document.error().message()));
  auto definition = Reader().parse(*document, declared);
  if (!definition) return fail(bad_input(prefix + definition.error().message()));
  return definition;
}

Expected<Tokenizer> parse_tokenizer_json(std::string_view content, std::string_view name, const DeclaredAddedTokens& declared) {
  return Tokenizer::build(tokenizer_json_definition(content, name, declared), name);
}

Expected<TokenizerDefinition> load_tokenizer_json_definition(const std::filesystem::path& path, const DeclaredAddedTokens& declared) {
  const auto content = read_tokenizer_file(path, kTokenizerFileBytesMax);
  if (!content) return fail(content.error());
  return tokenizer_json_definition(*content, path.string(), declared);
}

Expected<Tokenizer> load_tokenizer_json(const std::filesystem::path& path, const DeclaredAddedTokens& declared) {
  return Tokenizer::build(load_tokenizer_json_definition(path, declared), path.string());
}

}  // namespace herd::tokenizer
