#include "runtime/tokenizer/json_decoder.h"

#include <boost/json.hpp>

#include <cstdint>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/text_growth.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

constexpr double kGrowthMax = 64.0;  // the bytes of every token are kept; of a decoder that is used: 1

bool is_one_character(std::string_view text) {
  return !text.empty() && text::first_code_point(text).size == text.size();
}

std::string replaced(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  while (!text.empty()) {
    if (text.starts_with(pattern)) {
      out.append(content);
      text.remove_prefix(pattern.size());
    } else {
      out.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return out;
}

std::string replaced_matches(std::string_view text, const regex::Pattern& pattern, std::string_view content, std::uint64_t& steps) {
  std::string out;
  regex::Search search;
  search.begin(pattern, text);
  std::size_t done = 0;
  while (const auto match = search.next(steps)) {
    out.append(text.substr(done, match->begin - done)).append(content);
    done = match->end;
  }
  return out.append(text.substr(done));
}

std::string stripped(std::string_view text, std::string_view character, std::size_t front, std::size_t back) {
  for (; front > 0 && text.starts_with(character); --front) text.remove_prefix(character.size());
  for (; back > 0 && text.ends_with(character); --back) text.remove_suffix(character.size());
  return std::string(text);
}

std::size_t count_of(const json::object& object, std::string_view key) {
  const json::value* found = json_member(object, key);
  boost::system::error_code error;
  const auto count = found == nullptr ? 0 : found->to_number<std::uint32_t>(error);
  return error ? 0 : count;
}

}  // namespace

// Follows the steps in their order and keeps what has happened to the list of tokens so far.
class JsonDecoder::Reader {
 public:
  Status read(const json::object& step, const std::string& where);
  [[nodiscard]] JsonDecoder take() { return std::move(result_); }

 private:
  Status read_replace(const json::object& step, const std::string& where);
  Status grow(double times, const std::string& where);
  Status read_strip(const json::object& step, const std::string& where);
  Status read_metaspace(const json::object& step, const std::string& where);
  Step& add(Step::Kind kind) {
    result_.steps_.push_back({});
    result_.steps_.back().kind = kind;
    return result_.steps_.back();
  }

  JsonDecoder result_;
  double growth_ = 1.0;      // a token is at most so many times as long as its spelling
  bool fused_ = false;       // the tokens are one text by now
  bool bytes_made_ = false;  // some are bytes of a character by now
};

Status JsonDecoder::Reader::read(const json::object& step, const std::string& where) {
  const std::string_view type = json_type(step);
  if (type == "Fuse") {
    fused_ = true;
    return {};
  }
  if (type == "Replace") return read_replace(step, where);
  if (type == "Strip") return read_strip(step, where);
  if (type == "Metaspace") return read_metaspace(step, where);
  if (type != "ByteLevel" && type != "ByteFallback") {
    return bad_input(where + ".type: '" + std::string(type) +
                     "' is not supported (ByteLevel, ByteFallback, Metaspace, Replace, Strip, Fuse, Sequence are)");
  }
  if (fused_ || bytes_made_) return bad_input(where + ": " + std::string(type) + " must come before the tokens are joined");
  (void)add(type == "ByteLevel" ? Step::Kind::kByteLevel : Step::Kind::kByteFallback);
  bytes_made_ = true;
  fused_ = type == "ByteLevel";
  return {};
}

Status JsonDecoder::Reader::read_replace(const json::object& step, const std::string& where) {
  auto pattern = read_json_pattern(step, where);
  if (!pattern) return pattern.error();
  const auto content = json_text(step, "content");
  if (!content) return bad_input(where + ".content: not a text");
  if (pattern->text.empty()) return {};
  // One character lies in one token, unless its bytes are tokens.
  const bool local = !pattern->is_regex && is_one_character(pattern->text) && (!bytes_made_ || pattern->text.size() == 1);
  if ((fused_ || bytes_made_) && !local) return bad_input(where + ": Replace must come before the tokens are joined");
  Step& added = add(pattern->is_regex ? Step::Kind::kReplaceMatches : Step::Kind::kReplace);
  added.pattern = pattern->text;
  added.content = *content;
  if (!pattern->is_regex) return grow(growth_of_text(added.pattern, added.content), where);
  if (added.content.find('$') != std::string::npos) return bad_input(where + ".content: groups ('$') are not supported");
  auto compiled = regex::Pattern::compile(pattern->text);
  if (!compiled) return bad_input(where + ".pattern: " + compiled.error().message());
  added.regex.push_back(std::move(*compiled));
  return grow(growth_of_matches(added.regex.front(), added.content), where);
}

Status JsonDecoder::Reader::grow(double times, const std::string& where) {
  growth_ *= times;
  if (growth_ <= kGrowthMax) return {};
  return bad_input(where + ".content: may make a token more than " + std::to_string(static_cast<int>(kGrowthMax)) + " times as long");
}

Status JsonDecoder::Reader::read_strip(const json::object& step, const std::string& where) {
  const auto content = json_text(step, "content");
  if (!content || !is_one_character(*content)) return bad_input(where + ".content: not one character");
  const std::size_t front = count_of(step, "start");
  const std::size_t back = count_of(step, "stop");
  if (front == 0 && back == 0) return {};
  if (fused_) {
    if (*content != " " || front != 1 || back != 0 || result_.drops_leading_space_) {
      return bad_input(where + ": of a whole text one leading space can be stripped, nothing else");
    }
    result_.drops_leading_space_ = true;
    return {};
  }
  if (bytes_made_) return bad_input(where + ": Strip must come before ByteFallback or behind Fuse");
  Step& added = add(Step::Kind::kStrip);
  added.pattern = *content;
  added.front = front;
  added.back = back;
  return {};
}

// The first token of a text loses every replacement, the others get spaces for them.
Status JsonDecoder::Reader::read_metaspace(const json::object& step, const std::string& where) {
  const std::string_view replacement = json_text(step, "replacement").value_or("\u2581");
  bool add_prefix_space = true;
  if (Status status = read_json_flag(step, "add_prefix_space", where, add_prefix_space); !status.ok()) return status;
  const bool never = !add_prefix_space || json_text(step, "prepend_scheme").value_or("always") == "never";
  if (!is_one_character(replacement)) return bad_input(where + ".replacement: not one character");
  if (!result_.steps_.empty() || fused_) return bad_input(where + ": Metaspace must be the first step that changes a token");
  Step& added = add(Step::Kind::kReplace);
  added.pattern = replacement;
  added.content = " ";
  if (!never) result_.first_token_drops_ = replacement;
  return {};
}

JsonDecoder JsonDecoder::absent(bool byte_level) {
  JsonDecoder decoder;
  decoder.steps_.push_back({});
  decoder.steps_.back().kind = byte_level ? Step::Kind::kByteLevel : Step::Kind::kSpaceBefore;
  decoder.drops_leading_space_ = !byte_level;
  return decoder;
}

Expected<JsonDecoder> JsonDecoder::read(const json::value& decoder) {
  Reader reader;
  const auto read = [&](const json::object& step, const std::string& where, bool) { return reader.read(step, where); };
  if (Status status = for_each_component(decoder, "decoders", "decoder", read); !status.ok()) return fail(std::move(status));
  JsonDecoder result = reader.take();
  if (!result.first_token_drops_.empty() && (result.steps_.size() > 1 || result.drops_leading_space_)) {
    return fail(bad_input("decoder: Metaspace goes with no other step that changes a token"));
  }
  return result;
}

std::string JsonDecoder::bytes_of(std::string_view spelling) {
  std::string text(spelling);
  for (const Step& step : steps_) text = apply(step, std::move(text), steps_left_);
  return text;
}

std::string JsonDecoder::apply(const Step& step, std::string text, std::uint64_t& steps_left) {
  switch (step.kind) {
    case Step::Kind::kByteLevel:
      return bytes_from_alphabet(text).value_or(text);
    case Step::Kind::kByteFallback:
      if (const auto byte = byte_of_spelling(text)) return std::string(1, static_cast<char>(*byte));
      return text;
    case Step::Kind::kReplace:
      return replaced(text, step.pattern, step.content);
    case Step::Kind::kReplaceMatches:
      return replaced_matches(text, step.regex.front(), step.content, steps_left);
    case Step::Kind::kStrip:
      return stripped(text, step.pattern, step.front, step.back);
    case Step::Kind::kSpaceBefore:
      return text.insert(0, 1, ' ');
  }
  return text;
}

}  // namespace herd::tokenizer
