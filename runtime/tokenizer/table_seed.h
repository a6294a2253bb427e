#pragma once
// Chance for hash tables: whoever makes a vocabulary cannot know it, so cannot choose tokens that all fall on one place.

#include <cstdint>

namespace herd::tokenizer {

// The same all through a process, another in the next. It decides where in a table an entry lies and nothing else: no
// result depends on it.
[[nodiscard]] std::uint64_t table_seed();

}  // namespace herd::tokenizer
