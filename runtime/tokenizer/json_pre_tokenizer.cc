#include "runtime/tokenizer/json_pre_tokenizer.h"

#include <boost/json.hpp>

#include <array>
#include <string>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/json_fields.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

// What these names stand for in `tokenizers`; its \w there has the two joiners too.
constexpr std::string_view kWhitespacePattern = R"([\w\x{200c}\x{200d}]+|[^\w\s\x{200c}\x{200d}]+)";
constexpr std::string_view kPunctuationPattern = R"([!-\/:-@\[-`{-~\p{P}])";

constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kBehaviors = {
    {{"Isolated", SplitBehavior::kIsolated}, {"Removed", SplitBehavior::kRemoved}, {"Contiguous", SplitBehavior::kContiguous},
     {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious}, {"MergedWithNext", SplitBehavior::kMergedWithNext}}};

// A pattern that matches exactly `text`.
std::string escaped(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool word = byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || byte < 0x20;
    if (!word) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

class StageReader {
 public:
  Status read(const json::object& stage, const std::string& where, bool last);
  [[nodiscard]] JsonPreTokenizer take() { return std::move(result_); }

 private:
  Status read_byte_level(const json::object& stage, const std::string& where, bool last);
  Status read_split(const json::object& stage, const std::string& where);
  Status read_metaspace(const json::object& stage, const std::string& where);
  static Status read_behavior(const json::object& stage, const std::string& where, SplitBehavior& behavior);

  void add(PreTokenizerStage stage) { result_.stages.push_back(std::move(stage)); }

  JsonPreTokenizer result_;
  bool byte_level_seen_ = false;
};

Status StageReader::read(const json::object& stage, const std::string& where, bool last) {
  const std::string_view type = json_type(stage);
  if (type == "ByteLevel") return read_byte_level(stage, where, last);
  if (type == "Split") return read_split(stage, where);
  if (type == "Metaspace") return read_metaspace(stage, where);
  if (type == "Digits") {
    bool individual = false;
    if (Status status = read_json_flag(stage, "individual_digits", where, individual); !status.ok()) return status;
    add(PreTokenizerStage::split(individual ? kDigitPattern : kDigitsPattern));
  } else if (type == "Whitespace") {
    add(PreTokenizerStage::split(kWhitespacePattern, SplitBehavior::kRemoved, true));
  } else if (type == "WhitespaceSplit") {
    add(PreTokenizerStage::split(R"(\s)", SplitBehavior::kRemoved));
  } else if (type == "Punctuation") {
    SplitBehavior behavior = SplitBehavior::kIsolated;
    if (Status status = read_behavior(stage, where, behavior); !status.ok()) return status;
    add(PreTokenizerStage::split(kPunctuationPattern, behavior));
  } else if (type == "BertPreTokenizer") {
    add(PreTokenizerStage::split(R"(\s)", SplitBehavior::kRemoved));
    add(PreTokenizerStage::split(kPunctuationPattern));
  } else if (type == "CharDelimiterSplit") {
    const auto delimiter = json_text(stage, "delimiter");
    if (!delimiter || delimiter->empty()) return bad_input(where + ".delimiter: not a character");
    add(PreTokenizerStage::split(escaped(*delimiter), SplitBehavior::kRemoved));
  } else {
    return bad_input(where + ".type: '" + std::string(type) + "' is not supported (ByteLevel, Split, Digits, Whitespace, "
                     "WhitespaceSplit, Metaspace, Punctuation, BertPreTokenizer, CharDelimiterSplit, Sequence are)");
  }
  return {};
}

Status StageReader::read_byte_level(const json::object& stage, const std::string& where, bool last) {
  if (byte_level_seen_) return bad_input(where + ": a second ByteLevel stage");
  byte_level_seen_ = true;
  bool prefix_space = true;  // HF's defaults
  bool use_regex = true;
  if (Status status = read_json_flag(stage, "add_prefix_space", where, prefix_space); !status.ok()) return status;
  if (Status status = read_json_flag(stage, "use_regex", where, use_regex); !status.ok()) return status;
  if (prefix_space) add(PreTokenizerStage::prefix(" "));
  if (use_regex) add(PreTokenizerStage::split(kGpt2Pattern));
  if (last) {
    result_.byte_level = true;
  } else {
    add(PreTokenizerStage::byte_alphabet());
  }
  return {};
}

Status StageReader::read_split(const json::object& stage, const std::string& where) {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
  auto pattern = read_json_pattern(stage, where);
  if (!pattern) return pattern.error();
  if (json_member(stage, "behavior") == nullptr) return bad_input(where + ".behavior: missing");
  if (Status status = read_behavior(stage, where, behavior); !status.ok()) return status;
  if (Status status = read_json_flag(stage, "invert", where, invert); !status.ok()) return status;
  add(PreTokenizerStage::split(pattern->is_regex ? pattern->text : escaped(pattern->text), behavior, invert));
  return {};
}

Status StageReader::read_behavior(const json::object& stage, const std::string& where, SplitBehavior& behavior) {
  if (json_member(stage, "behavior") == nullptr) return {};
  const std::string_view wanted = json_text(stage, "behavior").value_or(std::string_view());
  for (const auto& [name, value] : kBehaviors) {
    if (wanted != name) continue;
    behavior = value;
    return {};
  }
  return bad_input(where + ".behavior: '" + std::string(wanted) +
                   "' is not Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext");
}

Status StageReader::read_metaspace(const json::object& stage, const std::string& where) {
  const std::string_view replacement = json_text(stage, "replacement").value_or("\u2581");
  if (replacement.empty() || text::first_code_point(replacement).size != replacement.size()) {
    return bad_input(where + ".replacement: not one character");
  }
  std::string_view scheme = json_text(stage, "prepend_scheme").value_or("always");
  bool add_prefix_space = true;  // how older files say it
  bool split = true;
  if (Status status = read_json_flag(stage, "add_prefix_space", where, add_prefix_space); !status.ok()) return status;
  if (Status status = read_json_flag(stage, "split", where, split); !status.ok()) return status;
  if (!add_prefix_space) scheme = "never";
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return bad_input(where + ".prepend_scheme: '" + std::string(scheme) + "' is not always, first or never");
  }
  add(PreTokenizerStage::spaces(replacement));
  if (scheme != "never") add(PreTokenizerStage::prefix(replacement, scheme == "first"));
  if (split) add(PreTokenizerStage::split(escaped(replacement), SplitBehavior::kMergedWithNext));
  return {};
}

}  // namespace

Expected<JsonPreTokenizer> read_json_pre_tokenizer(const json::value& pre_tokenizer) {
  StageReader reader;
  const auto read = [&](const json::object& stage, const std::string& where, bool last) { return reader.read(stage, where, last); };
  Status status = for_each_component(pre_tokenizer, "pretokenizers", "pre_tokenizer", read);
  if (!status.ok()) return fail(std::move(status));
  return reader.take();
}

}  // namespace herd::tokenizer
