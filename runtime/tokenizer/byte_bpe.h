#pragma once
// Byte-level BPE (GPT-2, Llama 3): a piece begins as its bytes, and pairs of neighbours merge by rank.

#include <array>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/token_map.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

// Immutable.
class ByteBpe {
 public:
  // The texts of the definition's tokens must outlive the model. kBadInput: two tokens of the same bytes, or one
  // without any.
  [[nodiscard]] static Expected<ByteBpe> build(const TokenizerDefinition& definition);

  // Appends the tokens of a piece. Time O(n log n).
  void encode_piece(std::string_view piece, MergeScratch& scratch, std::vector<TokenId>& out) const;

 private:
  ByteBpe() = default;
  [[nodiscard]] Status collect_tokens(const TokenizerDefinition& definition);

  TokenMap tokens_;                       // by bytes
  std::array<TokenId, 256> byte_token_{};  // kNone: the byte has none
  MergeTable merges_;
  bool whole_piece_first_ = false;
  TokenId unknown_ = TokenMap::kNone;
  bool fuse_unknown_ = false;
};

}  // namespace herd::tokenizer
