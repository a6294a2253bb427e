#pragma once
// Regular expressions whose time is bounded: a backtracking matcher that counts its steps. parser.h says what can be
// written. The letters it knows are those of runtime/unicode, on every machine.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::regex {

struct Program;

// Immutable and cheap to copy.
class Pattern {
 public:
  // kBadInput: what parser.h refuses, and patterns too large for a program (program.h).
  [[nodiscard]] static Expected<Pattern> compile(std::string_view source);

  // The work that a search of a text of so many bytes may take, in steps of the matcher: more than enough for a pattern
  // whose work grows in proportion to the text. One whose work grows faster runs out of steps on a long text.
  [[nodiscard]] std::uint64_t steps_for(std::size_t bytes) const;
  [[nodiscard]] bool matches_nothing() const;  // whether a match may be empty
  [[nodiscard]] const Program& program() const { return *program_; }

 private:
  explicit Pattern(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  std::shared_ptr<const Program> program_;
};

// Bytes [begin, end) of a text.
struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Match&) const = default;
};

// All matches of a pattern in a text, from left to right. An empty match right behind the match before it does not count.
// One object may go through many texts; it keeps its memory. The text, which is valid UTF-8, must outlive the search.
class Search {
 public:
  void begin(const Pattern& pattern, std::string_view text);
  // `steps` is how much work is left to spend (Pattern::steps_for); the call takes what it uses from it. When nothing is
  // left, nothing matches.
  [[nodiscard]] std::optional<Match> next(std::uint64_t& steps);
  [[nodiscard]] bool out_of_steps() const { return out_of_steps_; }

 private:
  struct Frame {
    enum class Kind : std::uint8_t {
      kResume,   // at `position`
      kShorter,  // a greedy repeat of a set: one less, down to `bound`
      kLonger,   // a lazy repeat of a set: one more, up to `bound`
      kRestore,  // register `instruction` to `position`
    };
    Kind kind = Kind::kResume;
    std::uint32_t instruction = 0;
    std::size_t position = 0;
    std::size_t bound = 0;
  };

  std::optional<Match> find();
  [[nodiscard]] std::size_t after_failure(std::size_t start) const;
  std::optional<std::size_t> run(std::uint32_t instruction, std::size_t position);
  bool backtrack(std::size_t base, std::uint32_t& instruction, std::size_t& position);
  bool repeat_set(std::uint32_t instruction, std::size_t& position);
  bool look(std::uint32_t instruction, std::size_t position);
  [[nodiscard]] std::size_t byte_of(std::size_t character);

  const Program* program_ = nullptr;
  std::string_view text_;
  std::vector<std::uint8_t> classes_;  // one a character
  std::vector<Frame> stack_;
  std::vector<std::size_t> registers_;
  std::uint64_t steps_ = 0;
  bool out_of_steps_ = false;
  std::size_t from_ = 0;                 // character where the next search begins
  std::optional<std::size_t> last_end_;  // of the last match
  std::size_t known_character_ = 0;      // the place of this one …
  std::size_t known_byte_ = 0;           // … in bytes is known
};

}  // namespace herd::regex
