#pragma once
// How Meta's wrapper around tiktoken slices a text before it encodes the slices one by one: at most 400,000 characters,
// and no run of more than 25,000 that are all white space or all not (llama_models, llama3/tokenizer.py).

#include <cstddef>
#include <string_view>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {

inline constexpr std::size_t kSliceCharacters = 400'000;
inline constexpr std::size_t kSliceRun = 25'000;

// Calls use(begin, end) in bytes for each slice of `text`, valid UTF-8; once for an empty text.
template <class Use>
void for_each_meta_slice(std::string_view text, Use use) {
  std::size_t begin = 0;
  std::size_t characters = 0;  // since the last cut at kSliceCharacters
  std::size_t run = 0;
  bool run_is_space = false;
  for (std::size_t i = 0; i < text.size();) {
    const text::CodePoint next = text::first_code_point(text.substr(i));
    const bool space = text::is_python_space(next.value);
    if (characters == kSliceCharacters) {
      use(begin, i);
      begin = i;
      characters = 0;
      run = 0;
    }
    if (run == 0 || space != run_is_space) {
      run = 1;
      run_is_space = space;
    } else if (++run > kSliceRun) {
      use(begin, i);
      begin = i;
      run = 1;
    }
    ++characters;
    i += next.size;
  }
  use(begin, text.size());
}

}  // namespace herd::tokenizer
