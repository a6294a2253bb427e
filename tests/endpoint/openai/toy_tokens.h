#pragma once
// A vocabulary of a few tokens with awkward bytes.

#include <array>
#include <string_view>

#include "runtime/ids.h"

namespace herd::openai {

inline std::string_view toy_token_bytes(TokenId token) {
  constexpr std::array<std::string_view, 9> kBytes = {"a",  "\xC3\xA9", "\xC3",     "\"",      " w",
                                                      "\xA9", "\n",     "\xE2\x82", "\xAC\x01"};
  return kBytes[static_cast<std::size_t>(token) % kBytes.size()];
}

}  // namespace herd::openai
