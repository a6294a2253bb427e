#pragma once
// Vocabularies are read before anything else can happen, on a machine whose other cores wait: the long loops over their
// tokens and merges run in two halves, and what need not wait for each other runs side by side.

#include <cstddef>

#include "runtime/joined_thread.h"

namespace herd::tokenizer {

inline constexpr std::size_t kWorthAThread = 2048;  // tokens or merges: fewer are done before a thread has started

// first() and second(), work on `count` tokens or merges, at the same time where that is worth while and a thread can be
// had, else one after the other. They share nothing that either writes. Throws what first() throws, else what second() does.
template <class First, class Second>
void side_by_side(std::size_t count, const First& first, const Second& second) {
  JoinedThread other;
  const bool alone = count < kWorthAThread || !other.start([&second] { second(); });
  first();
  if (alone) return second();
  other.join();
}

// work(0, 0, count / 2) and work(1, count / 2, count), side by side: half, begin and end.
template <class Work>
void in_two_halves(std::size_t count, const Work& work) {
  const std::size_t middle = count / 2;
  side_by_side(
      count, [&] { work(std::size_t{0}, std::size_t{0}, middle); }, [&] { work(std::size_t{1}, middle, count); });
}

}  // namespace herd::tokenizer
