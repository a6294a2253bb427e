#pragma once
// Cuts text into the pieces inside which tokens merge: a chain of stages, each of which cuts every piece of the stage
// before it on its own (a look-ahead ends at the end of its piece, as in HF `tokenizers`). Only the patterns of the
// Llama family exist, written for PCRE2 and known to run in linear time; a file cannot bring its own.

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::tokenizer {

enum class SplitPattern {
  kLlama3,     // also Meta's tiktoken pattern
  kGpt2,       // ByteLevel(use_regex)
  kDigit,      // each number character alone: Digits(individual_digits)
  kDigits,     // runs of number characters
};

// The pattern a tokenizer.json spells out as `regex`; nothing when it is none of those above.
[[nodiscard]] std::optional<SplitPattern> known_split_pattern(std::string_view regex);

struct PreTokenizerStage {
  std::optional<SplitPattern> pattern;  // matches and the gaps between them become pieces ("Isolated")
  bool prefix_space = false;            // first, a piece that does not begin with a space gets one
};

// Views into the text, or into `owned` where a stage had to add a space. Not copied: views would dangle.
struct Pieces {
  std::vector<std::string_view> views;  // none is empty
  std::deque<std::string> owned;        // stable addresses

  Pieces() = default;
  Pieces(const Pieces&) = delete;
  Pieces& operator=(const Pieces&) = delete;
};

// Immutable; split() may run on any number of threads.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // no stage: the whole text is one piece
  explicit PreTokenizer(const std::vector<PreTokenizerStage>& stages);

  // Appends the pieces of `text`, which is valid UTF-8.
  void split(std::string_view text, Pieces& pieces) const;

 private:
  struct CompiledPattern;  // PCRE2 stays in the .cc
  class MatchData;
  struct Stage {
    const CompiledPattern* pattern = nullptr;  // nullptr: none; lives as long as the process
    bool prefix_space = false;
  };

  static const CompiledPattern& compiled(SplitPattern pattern);
  void split_from(std::size_t stage, std::string_view text, const MatchData& match, Pieces& pieces) const;

  std::vector<Stage> stages_;
};

}  // namespace herd::tokenizer
