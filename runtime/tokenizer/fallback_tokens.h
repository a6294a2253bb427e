#pragma once
// What a character becomes that no token spells: the tokens of its bytes, or the unknown token.

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

// Immutable.
class FallbackTokens {
 public:
  FallbackTokens() = default;
  explicit FallbackTokens(const TokenizerDefinition& definition)
      : bytes_(definition.byte_tokens), unknown_(definition.unknown), fuse_(definition.fuse_unknown) {}

  // Appends the tokens of `character`. `after_unknown`: what was appended last is the unknown token; it is kept up to date.
  void append(std::string_view character, bool& after_unknown, std::vector<TokenId>& out) const {
    const std::size_t before = out.size();
    for (const char byte : character) {
      const TokenId id = bytes_[static_cast<unsigned char>(byte)];
      if (id == kNoByteToken) {
        out.resize(before);  // all bytes or none
        if (unknown_ && !(after_unknown && fuse_)) out.push_back(*unknown_);
        after_unknown = true;
        return;
      }
      out.push_back(id);
    }
    after_unknown = false;
  }

 private:
  std::array<TokenId, 256> bytes_ = no_byte_tokens();
  std::optional<TokenId> unknown_;
  bool fuse_ = false;
};

}  // namespace herd::tokenizer
