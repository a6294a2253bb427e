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

// What these names stand for in `tokenizers`. Its \w there has the two joiners too, and its table of punctuation is older
// than Unicode 9: it lacks what came since.
constexpr std::string_view kWhitespacePattern = R"([\w\x{200c}\x{200d}]+|[^\w\s\x{200c}\x{200d}]+)";
constexpr std::string_view kPunctuationPattern =
    R"([[!-\/:-@\[-`{-~\p{P}\x{166d}\x{111c9}]&&[^\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b4e}-\x{1b4f}\x{1b7d}-\x{1b7f})"
    R"(\x{2e43}-\x{2e4f}\x{2e52}-\x{2e5d}\x{10d6e}\x{10ead}\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{113d4}-\x{113d5})"
    R"(\x{113d7}-\x{113d8}\x{1144b}-\x{1144f}\x{1145a}-\x{1145b}\x{1145d}\x{11660}-\x{1166c}\x{116b9}\x{1183b})"
    R"(\x{11944}-\x{11946}\x{119e2}\x{11a3f}-\x{11a46}\x{11a9a}-\x{11a9c}\x{11a9e}-\x{11aa2}\x{11b00}-\x{11b09})"
    R"(\x{11be1}\x{11c41}-\x{11c45}\x{11c70}-\x{11c71}\x{11ef7}-\x{11ef8}\x{11f43}-\x{11f4f}\x{11fff}\x{12ff1}-\x{12ff2})"
    R"(\x{16d6d}-\x{16d6f}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e5ff}\x{1e95e}-\x{1e95f}]])";

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
