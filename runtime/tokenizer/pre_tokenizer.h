#pragma once
// Cuts text into the pieces inside which tokens merge: a chain of stages, each of which works on every piece of the stage
// before it on its own (a look-ahead ends at the end of its piece, as in HF `tokenizers`).

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/regex/pattern.h"
#include "runtime/tokenizer/split_behavior.h"

namespace herd::tokenizer {

// Split patterns of the Llama family, in the syntax of runtime/regex/parser.h.
inline constexpr std::string_view kLlama3Pattern =  // also Meta's tiktoken pattern
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kGpt2Pattern =  // ByteLevel(use_regex)
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kDigitPattern = R"(\p{N})";    // Digits(individual_digits)
inline constexpr std::string_view kDigitsPattern = R"(\p{N}+)";  // Digits

struct PreTokenizerStage {
  enum class Kind : std::uint8_t {
    kSplit,         // cuts at the matches of `pattern`
    kPrefix,        // a piece that does not begin with `content` gets it in front
    kSpaces,        // every space becomes `content`
    kByteAlphabet,  // every byte becomes its printable character (byte_alphabet.h): for stages that follow
  };
  Kind kind = Kind::kSplit;
  std::string pattern;                                // kSplit: a regular expression
  SplitBehavior behavior = SplitBehavior::kIsolated;  // kSplit
  bool invert = false;                                // kSplit: the gaps count as matches and the matches as gaps
  std::string content;                                // kPrefix, kSpaces
  bool only_at_start = false;                         // kPrefix: only the piece that the text begins with
  bool operator==(const PreTokenizerStage&) const = default;

  [[nodiscard]] static PreTokenizerStage split(std::string_view pattern, SplitBehavior behavior = SplitBehavior::kIsolated,
                                               bool invert = false);
  [[nodiscard]] static PreTokenizerStage prefix(std::string_view content, bool only_at_start = false);
  [[nodiscard]] static PreTokenizerStage spaces(std::string_view content);
  [[nodiscard]] static PreTokenizerStage byte_alphabet();
};

// Views into the text, or into `owned` where a stage had to write; and memory that split() uses again. Not copied: views
// would dangle.
struct Pieces {
  std::vector<std::string_view> views;  // none is empty
  std::deque<std::string> owned;        // stable addresses
  std::vector<regex::Search> searches;  // one a stage
  std::uint64_t steps = 0;              // that the patterns may still take

  Pieces() = default;
  Pieces(const Pieces&) = delete;
  Pieces& operator=(const Pieces&) = delete;
};

// Immutable; split() may run on any number of threads.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // no stage: the whole text is one piece
  // kBadInput: a pattern that does not compile.
  [[nodiscard]] static Expected<PreTokenizer> build(const std::vector<PreTokenizerStage>& stages);

  // `pieces` become those of `text`, which is valid UTF-8. `at_start`: nothing stands before it. A pattern that takes too
  // long (regex::Pattern::steps_for) stops matching: what is left of the text becomes pieces of one character.
  void split(std::string_view text, bool at_start, Pieces& pieces) const;

 private:
  struct Stage {
    PreTokenizerStage rule;
    std::vector<regex::Pattern> pattern;  // one of kSplit
  };

  void split_from(std::size_t stage, std::string_view text, bool at_start, Pieces& pieces) const;
  void split_at_matches(std::size_t stage, std::string_view text, bool at_start, Pieces& pieces) const;

  std::vector<Stage> stages_;
};

}  // namespace herd::tokenizer
