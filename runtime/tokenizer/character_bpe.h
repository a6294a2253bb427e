#pragma once
// BPE over characters (tokenizer.json of Llama 2, TinyLlama, Mistral): a piece begins as its characters, those without a
// token as the tokens of their bytes, and pairs of neighbours merge by rank. As in HF `tokenizers`.

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
class CharacterBpe {
 public:
  // The texts of the definition's tokens must outlive the model. kBadInput: two tokens of one spelling, or one without
  // any.
  [[nodiscard]] static Expected<CharacterBpe> build(const TokenizerDefinition& definition);

  // Appends the tokens of a piece of normalized text, valid UTF-8. Time O(n log n) in the longest stretch between two
  // places that no merge crosses.
  void encode_piece(std::string_view piece, MergeScratch& scratch, std::vector<TokenId>& out) const;

 private:
  CharacterBpe() = default;
  [[nodiscard]] Status collect_tokens(const TokenizerDefinition& definition);
  [[nodiscard]] bool merges_stop_at_spaces(const TokenizerDefinition& definition) const;
  // `unknown_due`: the unknown token stands for characters before this one and is not among the symbols yet.
  void append_symbols(std::string_view character, bool& unknown_due, std::vector<TokenId>& symbols) const;

  TokenMap tokens_;                         // by spelling
  std::array<TokenId, 128> ascii_{};        // by character; kNone: no token
  std::array<TokenId, 256> byte_tokens_{};  // kNoByteToken: none
  MergeTable merges_;
  bool cuts_at_spaces_ = false;  // no merge joins a U+2581 to another character before it
  bool whole_piece_first_ = false;
  TokenId unknown_ = TokenMap::kNone;
  bool fuse_unknown_ = false;
};

}  // namespace herd::tokenizer
