#include "runtime/tokenizer/tokenizer_json.h"

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/tokenizer_file.h"

#include <boost/json.hpp>

#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kStagesMax = 16;  // pre-tokenizers or post-processors in one Sequence

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

// Absent and null mean the same in these files.
const json::value* member(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains({key.data(), key.size()});
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string_view type_of(const json::object& object) {
  const json::value* type = member(object, "type");
  return type != nullptr && type->is_string() ? view(type->get_string()) : std::string_view();
}

std::optional<TokenId> as_token_id(const json::value& value) {
  boost::system::error_code error;
  const auto number = value.to_number<std::int64_t>(error);
  if (error || number < 0 || number >= static_cast<std::int64_t>(kVocabularySizeMax)) return std::nullopt;
  return static_cast<TokenId>(number);
}

// One file being read. Each step returns ok or a message that begins with the field; parse() adds the file's name.
class Reader {
 public:
  Expected<Tokenizer> parse(const json::object& root);

 private:
  Status read_model(const json::object& model);
  Status read_vocabulary(const json::object& vocabulary);
  Status read_merges(const json::array& merges);
  Status read_added_tokens(const json::array& tokens);
  Status read_added_token(const json::object& token, const std::string& where);
  Status read_pre_tokenizer(const json::object& stage, const std::string& where, bool last);
  Status read_byte_level(const json::object& stage, const std::string& where, bool last);
  Status read_split(const json::object& stage, const std::string& where);
  Status read_post_processor(const json::object& processor, const std::string& where);
  Status read_template(const json::object& processor, const std::string& where);

  static Status flag(const json::object& object, const char* key, const std::string& where, bool& value);

  TokenizerDefinition definition_;
  std::unordered_map<std::string_view, TokenId> spelled_;  // vocabulary as written -> id; views into the document
  bool byte_level_ = false;
};

Expected<Tokenizer> Reader::parse(const json::object& root) {
  const json::value* model = member(root, "model");
  if (model == nullptr || !model->is_object()) return fail(bad_input("model: missing"));
  if (Status status = read_model(model->get_object()); !status.ok()) return fail(std::move(status));

  if (const json::value* added = member(root, "added_tokens")) {
    if (!added->is_array()) return fail(bad_input("added_tokens: not an array"));
    if (Status status = read_added_tokens(added->get_array()); !status.ok()) return fail(std::move(status));
  }
  // After the added tokens: a merge must not build one that is special, which Tokenizer::build() sees by its kind.
  const json::value* merges = member(model->get_object(), "merges");
  if (merges == nullptr || !merges->is_array()) return fail(bad_input("model.merges: missing"));
  if (Status status = read_merges(merges->get_array()); !status.ok()) return fail(std::move(status));

  if (const json::value* normalizer = member(root, "normalizer")) {
    const auto type = normalizer->is_object() ? type_of(normalizer->get_object()) : std::string_view();
    return fail(bad_input("normalizer: '" + std::string(type) + "' is not supported (Llama 3 has none)"));
  }
  const json::value* pre = member(root, "pre_tokenizer");
  if (pre == nullptr || !pre->is_object()) return fail(bad_input("pre_tokenizer: missing"));
  if (Status status = read_pre_tokenizer(pre->get_object(), "pre_tokenizer", true); !status.ok()) {
    return fail(std::move(status));
  }
  if (!byte_level_) return fail(bad_input("pre_tokenizer: no ByteLevel stage (only byte-level BPE is supported)"));

  if (const json::value* post = member(root, "post_processor")) {
    if (!post->is_object()) return fail(bad_input("post_processor: not an object"));
    if (Status status = read_post_processor(post->get_object(), "post_processor"); !status.ok()) {
      return fail(std::move(status));
    }
  }
  if (const json::value* decoder = member(root, "decoder")) {
    const auto type = decoder->is_object() ? type_of(decoder->get_object()) : std::string_view();
    if (type != "ByteLevel") return fail(bad_input("decoder: '" + std::string(type) + "' is not supported (ByteLevel is)"));
  }
  return Tokenizer::build(std::move(definition_));
}

Status Reader::flag(const json::object& object, const char* key, const std::string& where, bool& value) {
  if (const json::value* found = member(object, key)) {
    if (!found->is_bool()) return bad_input(where + "." + key + ": not true or false");
    value = found->get_bool();
  }
  return {};
}

Status Reader::read_model(const json::object& model) {
  if (const auto type = type_of(model); type != "BPE" && member(model, "type") != nullptr) {
    return bad_input("model.type: '" + std::string(type) + "' is not supported (BPE is)");
  }
  bool byte_fallback = false;
  if (Status status = flag(model, "byte_fallback", "model", byte_fallback); !status.ok()) return status;
  if (byte_fallback) return bad_input("model.byte_fallback: SentencePiece-style BPE (Llama 2) is not supported");
  if (const json::value* dropout = member(model, "dropout")) {
    boost::system::error_code error;
    if (dropout->to_number<double>(error) != 0.0 || error) return bad_input("model.dropout: must be null or 0");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json::value* affix = member(model, key);
    if (affix != nullptr && !(affix->is_string() && affix->get_string().empty())) {
      return bad_input(std::string("model.") + key + ": not supported");
    }
  }
  if (Status status = flag(model, "ignore_merges", "model", definition_.whole_piece_first); !status.ok()) return status;
  if (Status status = flag(model, "fuse_unk", "model", definition_.fuse_unknown); !status.ok()) return status;

  const json::value* vocabulary = member(model, "vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return bad_input("model.vocab: missing");
  if (Status status = read_vocabulary(vocabulary->get_object()); !status.ok()) return status;

  if (const json::value* unknown = member(model, "unk_token")) {
    if (!unknown->is_string()) return bad_input("model.unk_token: not a string");
    const auto found = spelled_.find(view(unknown->get_string()));
    if (found == spelled_.end()) return bad_input("model.unk_token: not in model.vocab");
    definition_.unknown = found->second;
  }
  return {};
}

Status Reader::read_vocabulary(const json::object& vocabulary) {
  if (vocabulary.size() > kVocabularySizeMax) {
    return bad_input("model.vocab: more than " + std::to_string(kVocabularySizeMax) + " tokens");
  }
  spelled_.reserve(vocabulary.size());
  std::vector<bool> taken;
  for (const auto& [key, value] : vocabulary) {
    const std::string_view spelling(key.data(), key.size());
    const auto id = as_token_id(value);
    if (!id) return bad_input("model.vocab['" + std::string(spelling) + "']: not a token id");
    const auto index = static_cast<std::size_t>(*id);
    if (index >= taken.size()) {
      taken.resize(index + 1);
      definition_.tokens.resize(index + 1);
    }
    if (taken[index]) return bad_input("model.vocab: id " + std::to_string(*id) + " occurs twice");
    taken[index] = true;
    spelled_.emplace(spelling, *id);
    auto bytes = bytes_from_alphabet(spelling);
    if (bytes && !bytes->empty()) {
      definition_.tokens[index] = {std::move(*bytes), TokenKind::kOrdinary};
    } else {
      definition_.tokens[index] = {std::string(spelling), TokenKind::kUnused};  // no text becomes it
    }
  }
  return {};
}

// Two spellings: "left right", or ["left", "right"] in newer files.
Status Reader::read_merges(const json::array& merges) {
  if (merges.size() > kMergesMax) return bad_input("model.merges: more than " + std::to_string(kMergesMax));
  definition_.merges.reserve(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto where = [i] { return "model.merges[" + std::to_string(i) + "]: "; };
    std::string_view left;
    std::string_view right;
    if (const json::string* text = merges[i].if_string()) {
      const std::string_view both = view(*text);
      const std::size_t space = both.find(' ');
      if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
        return bad_input(where() + "not two tokens with one space between them");
      }
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      const json::array* pair = merges[i].if_array();
      if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string()) {
        return bad_input(where() + "neither a string nor a pair of strings");
      }
      left = view((*pair)[0].get_string());
      right = view((*pair)[1].get_string());
    }
    joined.assign(left).append(right);
    const auto left_id = spelled_.find(left);
    const auto right_id = spelled_.find(right);
    const auto result_id = spelled_.find(joined);
    if (left_id == spelled_.end() || right_id == spelled_.end() || result_id == spelled_.end()) {
      return bad_input(where() + "'" + std::string(left) + "' and '" + std::string(right) +
                       "' or what they make is not in model.vocab");
    }
    definition_.merges.push_back({static_cast<std::uint32_t>(i), left_id->second, right_id->second, result_id->second});
  }
  return {};
}

Status Reader::read_added_tokens(const json::array& tokens) {
  if (tokens.size() > kVocabularySizeMax) return bad_input("added_tokens: too many");
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string where = "added_tokens[" + std::to_string(i) + "]";
    if (!tokens[i].is_object()) return bad_input(where + ": not an object");
    if (Status status = read_added_token(tokens[i].get_object(), where); !status.ok()) return status;
  }
  return {};
}

Status Reader::read_added_token(const json::object& token, const std::string& where) {
  const json::value* id = member(token, "id");
  const json::value* content = member(token, "content");
  if (id == nullptr || !as_token_id(*id)) return bad_input(where + ".id: not a token id");
  if (content == nullptr || !content->is_string() || content->get_string().empty()) {
    return bad_input(where + ".content: not a text");
  }
  AddedToken added;
  added.id = *as_token_id(*id);
  added.content = view(content->get_string());
  added.special = false;
  bool single_word = false;
  const std::array<std::pair<const char*, bool*>, 5> flags = {{{"special", &added.special},
                                                               {"lstrip", &added.strip_left},
                                                               {"rstrip", &added.strip_right},
                                                               {"normalized", &added.normalized},
                                                               {"single_word", &single_word}}};
  for (const auto& [key, value] : flags) {
    if (Status status = flag(token, key, where, *value); !status.ok()) return status;
  }
  if (single_word) return bad_input(where + ".single_word: not supported");

  const auto index = static_cast<std::size_t>(added.id);
  if (index >= definition_.tokens.size()) definition_.tokens.resize(index + 1);
  VocabularyToken& entry = definition_.tokens[index];
  const auto spelled = spelled_.find(view(content->get_string()));
  const bool in_vocabulary = spelled != spelled_.end();
  if (in_vocabulary ? spelled->second != added.id : !entry.bytes.empty()) {
    return bad_input(where + ": '" + added.content + "' and model.vocab disagree about id " + std::to_string(added.id));
  }
  entry = {added.content, added.special ? TokenKind::kSpecial : TokenKind::kAdded};
  definition_.added.push_back(std::move(added));
  return {};
}

Status Reader::read_pre_tokenizer(const json::object& stage, const std::string& where, bool last) {
  if (definition_.pre_tokenizer.size() >= kStagesMax) return bad_input(where + ": too many stages");
  const std::string_view type = type_of(stage);
  if (type == "Sequence") {
    const json::value* stages = member(stage, "pretokenizers");
    if (stages == nullptr || !stages->is_array()) return bad_input(where + ".pretokenizers: missing");
    const json::array& list = stages->get_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string inner = where + ".pretokenizers[" + std::to_string(i) + "]";
      if (!list[i].is_object()) return bad_input(inner + ": not an object");
      if (Status status = read_pre_tokenizer(list[i].get_object(), inner, last && i + 1 == list.size()); !status.ok()) {
        return status;
      }
    }
    return {};
  }
  if (type == "ByteLevel") return read_byte_level(stage, where, last);
  if (type == "Split") return read_split(stage, where);
  if (type == "Digits") {
    bool individual = false;
    if (Status status = flag(stage, "individual_digits", where, individual); !status.ok()) return status;
    definition_.pre_tokenizer.push_back({individual ? SplitPattern::kDigit : SplitPattern::kDigits, false});
    return {};
  }
  return bad_input(where + ".type: '" + std::string(type) + "' is not supported (ByteLevel, Split, Digits, Sequence are)");
}

Status Reader::read_byte_level(const json::object& stage, const std::string& where, bool last) {
  if (!last || byte_level_) return bad_input(where + ": ByteLevel must be the last stage, once");
  byte_level_ = true;
  bool prefix_space = true;  // HF's defaults
  bool use_regex = true;
  if (Status status = flag(stage, "add_prefix_space", where, prefix_space); !status.ok()) return status;
  if (Status status = flag(stage, "use_regex", where, use_regex); !status.ok()) return status;
  if (prefix_space || use_regex) {
    definition_.pre_tokenizer.push_back(
        {use_regex ? std::optional<SplitPattern>(SplitPattern::kGpt2) : std::nullopt, prefix_space});
  }
  return {};
}

Status Reader::read_split(const json::object& stage, const std::string& where) {
  const json::value* behavior = member(stage, "behavior");
  if (behavior == nullptr || !behavior->is_string() || view(behavior->get_string()) != "Isolated") {
    return bad_input(where + ".behavior: only Isolated is supported");
  }
  bool invert = false;
  if (Status status = flag(stage, "invert", where, invert); !status.ok()) return status;
  if (invert) return bad_input(where + ".invert: not supported");
  const json::value* pattern = member(stage, "pattern");
  const json::value* regex =
      pattern != nullptr && pattern->is_object() ? member(pattern->get_object(), "Regex") : nullptr;
  if (regex == nullptr || !regex->is_string()) return bad_input(where + ".pattern.Regex: missing");
  const auto known = known_split_pattern(view(regex->get_string()));
  if (!known) {
    return bad_input(where + ".pattern.Regex: only the patterns of Llama 3 and GPT-2 are supported, not '" +
                     std::string(view(regex->get_string()).substr(0, 200)) + "'");
  }
  definition_.pre_tokenizer.push_back({*known, false});
  return {};
}

Status Reader::read_post_processor(const json::object& processor, const std::string& where) {
  const std::string_view type = type_of(processor);
  if (type == "ByteLevel") return {};  // offsets only
  if (type == "TemplateProcessing") return read_template(processor, where);
  if (type != "Sequence") {
    return bad_input(where + ".type: '" + std::string(type) +
                     "' is not supported (ByteLevel, TemplateProcessing, Sequence are)");
  }
  const json::value* processors = member(processor, "processors");
  if (processors == nullptr || !processors->is_array()) return bad_input(where + ".processors: missing");
  const json::array& list = processors->get_array();
  if (list.size() > kStagesMax) return bad_input(where + ".processors: too many");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string inner = where + ".processors[" + std::to_string(i) + "]";
    if (!list[i].is_object()) return bad_input(inner + ": not an object");
    if (Status status = read_post_processor(list[i].get_object(), inner); !status.ok()) return status;
  }
  return {};
}

// `single` is a list of {"SpecialToken": {"id": name}} around one {"Sequence": …}; `special_tokens` maps name -> ids.
Status Reader::read_template(const json::object& processor, const std::string& where) {
  const json::value* single = member(processor, "single");
  const json::value* specials = member(processor, "special_tokens");
  if (single == nullptr || !single->is_array()) return bad_input(where + ".single: missing");
  if (!definition_.prefix.empty() || !definition_.suffix.empty()) return bad_input(where + ": a second template");
  bool text_seen = false;
  for (const json::value& piece : single->get_array()) {
    const json::object* object = piece.if_object();
    const json::value* special = object == nullptr ? nullptr : member(*object, "SpecialToken");
    if (special == nullptr) {
      if (object == nullptr || member(*object, "Sequence") == nullptr || text_seen) {
        return bad_input(where + ".single: must hold the text once, and special tokens");
      }
      text_seen = true;
      continue;
    }
    const json::value* name = special->is_object() ? member(special->get_object(), "id") : nullptr;
    if (name == nullptr || !name->is_string()) return bad_input(where + ".single: special token without id");
    const json::value* entry = specials != nullptr && specials->is_object()
                                   ? member(specials->get_object(), view(name->get_string()))
                                   : nullptr;
    const json::value* ids = entry != nullptr && entry->is_object() ? member(entry->get_object(), "ids") : nullptr;
    if (ids == nullptr || !ids->is_array()) {
      return bad_input(where + ".special_tokens['" + std::string(view(name->get_string())) + "'].ids: missing");
    }
    std::vector<TokenId>& side = text_seen ? definition_.suffix : definition_.prefix;
    for (const json::value& value : ids->get_array()) {
      const auto id = as_token_id(value);
      if (!id || side.size() >= kStagesMax) return bad_input(where + ".special_tokens: not a short list of token ids");
      side.push_back(*id);
    }
  }
  if (!text_seen) return bad_input(where + ".single: must hold the text once, and special tokens");
  return {};
}

}  // namespace

Expected<Tokenizer> parse_tokenizer_json(std::string_view content, std::string_view name) {
  const std::string prefix = std::string(name) + ": ";
  if (content.size() > kTokenizerFileBytesMax) {
    return fail(bad_input(prefix + "larger than " + std::to_string(kTokenizerFileBytesMax) + " bytes"));
  }
  // The document is freed as one: nothing of it outlives this call.
  json::monotonic_resource memory;
  json::parse_options options;
  options.max_depth = kDepthMax;
  boost::system::error_code error;
  const json::value document = json::parse({content.data(), content.size()}, error, &memory, options);
  if (error) return fail(bad_input(prefix + "not JSON: " + error.message()));
  if (!document.is_object()) return fail(bad_input(prefix + "not a JSON object"));

  auto tokenizer = Reader().parse(document.get_object());
  if (!tokenizer) return fail(bad_input(prefix + tokenizer.error().message()));
  return tokenizer;
}

Expected<Tokenizer> load_tokenizer_json(const std::filesystem::path& path) {
  const auto content = read_tokenizer_file(path, kTokenizerFileBytesMax);
  if (!content) return fail(content.error());
  return parse_tokenizer_json(*content, path.string());
}

}  // namespace herd::tokenizer
