#pragma once
// A compiled regular expression. Code points fall into classes: two are of one class when no set of the pattern tells
// them apart. A text becomes a string of classes, one byte each, and the program reads those: a set is then a table of
// 256 bits, however many letters the world has.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/regex/pattern_tree.h"

namespace herd::regex {

inline constexpr std::size_t kInstructionsMax = 1U << 15;

// One bit a class.
class ClassSet {
 public:
  void add(std::uint8_t c) { words_[c >> 6] |= 1ULL << (c & 63); }
  void unite(const ClassSet& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  [[nodiscard]] bool has(std::uint8_t c) const { return (words_[c >> 6] >> (c & 63) & 1) != 0; }
  bool operator==(const ClassSet&) const = default;

 private:
  std::array<std::uint64_t, 4> words_{};
};

struct Instruction {
  enum class Op : std::uint8_t {
    kSet,         // one class of `set`
    kRepeatSet,   // `minimum` to `maximum` classes of `set`, by `greed`
    kJump,        // to `target`
    kFork,        // the next instruction, and where that leads nowhere, `target`
    kForkLater,   // `target` first, then the next instruction
    kSkipUnless,  // to `target` unless a class of `set` comes next
    kAheadSet,    // a class of `set` comes next; `negative`: none does
    kBehindSet,   // a class of `set` came last; `negative`: none did
    kLook,        // the part up to its kDone matches here or, going back `minimum` classes, ends here; then on to `target`
    kAtomic,      // the first match of the part up to its kDone, then on to `target`
    kRemember,    // writes the position into register `target`
    kLeaveIfStill,  // to `target` when the position is that of register `minimum`: the loop's body matched nothing
    kTextBegin,
    kTextEnd,
    kDone,        // the end of a part, or of the program
  };
  Op op = Op::kDone;
  Node::Greed greed = Node::Greed::kGreedy;
  bool negative = false;
  std::uint32_t target = 0;
  std::uint32_t minimum = 0;
  std::uint32_t maximum = 0;
  std::uint16_t set = 0;  // index into Program::sets
};

struct Program {
  std::vector<std::uint8_t> class_of;  // by code point
  std::vector<ClassSet> sets;
  std::vector<Instruction> instructions;
  std::uint32_t registers = 0;
  ClassSet first;               // classes a match can begin with …
  bool matches_nothing = true;  // … unless it may be empty
};

// kBadInput: too large, too many different sets, or a look-behind without a length.
[[nodiscard]] Expected<Program> compile(const Node& pattern);

}  // namespace herd::regex
