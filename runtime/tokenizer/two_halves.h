#pragma once
// Vocabularies are read before anything else can happen, on a machine whose other cores wait: the long loops over their
// merges run in two halves.

#include <cstddef>
#include <system_error>
#include <thread>

namespace herd::tokenizer {

// work(0) and work(1), at the same time where a thread can be had, else one after the other. They share nothing that
// either writes.
template <class Work>
void in_two_halves(const Work& work) {
  std::thread other;
  try {
    other = std::thread([&work] { work(std::size_t{1}); });
  } catch (const std::system_error&) {
    work(std::size_t{1});
  }
  work(std::size_t{0});
  if (other.joinable()) other.join();
}

}  // namespace herd::tokenizer
