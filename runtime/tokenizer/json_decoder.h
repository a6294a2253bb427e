#pragma once
// The `decoder` of a tokenizer.json, worked out for every token once: what a token stands for does not depend on its
// neighbours, so decoding is a concatenation. ByteLevel, ByteFallback, Metaspace, Replace, Strip, Fuse, in Sequences; what
// does depend on neighbours is refused by name.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/regex/pattern.h"

namespace boost::json {
class value;
}

namespace herd::tokenizer {

class JsonDecoder {
 public:
  static constexpr std::uint64_t kStepsMax = std::uint64_t{1} << 26;  // a vocabulary of 128,000 tokens takes about a seventh

  // Of a file without a decoder: bytes of the byte alphabet, or the spellings with a space between them.
  [[nodiscard]] static JsonDecoder absent(bool byte_level);
  // Messages begin with the field. kBadInput: a step that is refused, steps that may make a token 64 times as long.
  [[nodiscard]] static Expected<JsonDecoder> read(const boost::json::value& decoder);

  // What a token of this spelling decodes to. All calls together have kStepsMax steps of regular expressions; when these are
  // used up nothing matches any more, and the file is to be refused.
  [[nodiscard]] std::string bytes_of(std::string_view spelling);
  [[nodiscard]] bool out_of_steps() const { return steps_left_ == 0; }

  // Whether that is all: a spelling of the byte alphabet becomes its bytes.
  [[nodiscard]] bool is_byte_level() const { return steps_.size() == 1 && steps_.front().kind == Step::Kind::kByteLevel; }

  // TokenizerDefinition's members of the same names.
  [[nodiscard]] bool drops_leading_space() const { return drops_leading_space_; }
  [[nodiscard]] const std::string& first_token_drops() const { return first_token_drops_; }

 private:
  struct Step {
    enum class Kind { kByteLevel, kByteFallback, kReplace, kReplaceMatches, kStrip, kSpaceBefore };
    Kind kind = Kind::kByteLevel;
    std::string pattern;  // kReplace; kStrip: the character
    std::string content;  // kReplace, kReplaceMatches
    std::vector<regex::Pattern> regex;  // one of kReplaceMatches
    std::size_t front = 0;  // kStrip: at most so many characters
    std::size_t back = 0;
  };
  class Reader;

  static std::string apply(const Step& step, std::string text, std::uint64_t& steps_left);

  std::vector<Step> steps_;
  std::uint64_t steps_left_ = kStepsMax;
  bool drops_leading_space_ = false;
  std::string first_token_drops_;
};

}  // namespace herd::tokenizer
