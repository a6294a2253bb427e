#pragma once
// A regular expression as a tree: what the parser makes and the compiler reads.

#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/unicode/code_point_set.h"

namespace herd::regex {

inline constexpr std::uint32_t kNoMaximum = std::numeric_limits<std::uint32_t>::max();

struct Node {
  enum class Kind : std::uint8_t {
    kEmpty,         // matches nothing, everywhere
    kSet,           // one code point of `set`
    kSequence,      // all children, one behind the other
    kAlternatives,  // the first child that leads to a match
    kRepeat,        // children[0], `minimum` to `maximum` times
    kLookAhead,     // children[0] matches here …
    kLookBehind,    // … or ends here; its alternatives have one length each
    kAtomic,        // children[0], whose first match is final
    kTextBegin,
    kTextEnd,
  };
  enum class Greed : std::uint8_t { kGreedy, kLazy, kPossessive };

  Kind kind = Kind::kEmpty;
  unicode::CodePointSet set;
  std::vector<Node> children;
  std::uint32_t minimum = 0;
  std::uint32_t maximum = kNoMaximum;
  Greed greed = Greed::kGreedy;
  bool negative = false;  // look-around: must not match
};

}  // namespace herd::regex
