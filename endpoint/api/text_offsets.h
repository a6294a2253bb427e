#pragma once
// text_offset of completions: where tokens stand in the text. Pure.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::api {

// Of valid UTF-8.
[[nodiscard]] std::uint32_t code_points(std::string_view text);

// What an echo shows of a prompt.
enum class EchoOf : std::uint8_t {
  kText,               // the text that was given; the tokenizer may have put special tokens around its own
  kTokens,             // ids that were given
  kTokensWithoutSpecial,
};

// For each token of a prompt the code points of the echoed `text` that the tokens before it make up. A token that
// completes no character stands where its character will.
[[nodiscard]] std::vector<std::uint32_t> prompt_offsets(const tokenizer::Tokenizer& tokenizer,
                                                        std::span<const TokenId> ids, std::string_view text,
                                                        EchoOf echo);

}  // namespace herd::api
