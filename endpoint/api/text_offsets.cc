#include "endpoint/api/text_offsets.h"

#include <algorithm>
#include <string>

#include "runtime/tokenizer/incremental_decoder.h"

namespace herd::api {

std::uint32_t code_points(std::string_view text) {
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; };
  return static_cast<std::uint32_t>(std::ranges::count_if(text, begins));
}

std::vector<std::uint32_t> prompt_offsets(const tokenizer::Tokenizer& tokenizer, std::span<const TokenId> ids,
                                          std::string_view text, EchoOf echo) {
  tokenizer::IncrementalDecoder decoder(tokenizer, {}, {.skip_special = echo == EchoOf::kTokensWithoutSpecial});
  std::vector<std::uint32_t> offsets;
  offsets.reserve(ids.size());
  std::uint32_t offset = 0;
  std::size_t bytes = 0;
  for (const TokenId id : ids) {
    offsets.push_back(offset);
    const std::string_view rest = text.substr(std::min(bytes, text.size()));
    const bool added = echo == EchoOf::kText && tokenizer.is_special(id) && !rest.starts_with(tokenizer.token_bytes(id));
    if (added) continue;
    const std::string piece = decoder.push(id);
    offset += code_points(piece);
    bytes += piece.size();
  }
  return offsets;
}

}  // namespace herd::api
