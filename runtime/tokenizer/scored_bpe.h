#pragma once
// SentencePiece's BPE (Kudo and Richardson 2018), also that of GGUF's "llama" vocabularies: a text begins as its
// characters; at each turn the adjacent pair merges whose joined token scores highest, the leftmost one on ties, until no
// pair makes a token. Scores become ranks and the pairs a MergeTable when the model is built.

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/character_symbols.h"
#include "runtime/tokenizer/fallback_tokens.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/piece_trie.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

// All splits of a token into two are tried when the model is built. SentencePiece trains pieces of 16 characters.
inline constexpr std::size_t kScoredPieceBytesMax = 256;

struct ScoredBpeScratch {
  MergeScratch merging;
  std::vector<TokenId> merged;  // of one stretch, before its symbols are looked at
};

// Immutable.
class ScoredBpe {
 public:
  ScoredBpe() = default;
  // kBadInput: two tokens of one spelling, a spelling that is too long or not UTF-8, a score that is no number.
  [[nodiscard]] static Expected<ScoredBpe> build(const TokenizerDefinition& definition);

  // Appends the tokens of `text`: normalized, valid UTF-8. Time O(n log n) in the longest stretch without a cut.
  void encode_piece(std::string_view text, ScoredBpeScratch& scratch, std::vector<TokenId>& out) const;

 private:
  struct Piece {
    std::string_view spelling;
    TokenId id = 0;
    double score = 0.0;
    bool unused = false;
  };
  // A symbol is a token's id, or beyond all ids a character that is no token but a part of some.
  using Symbols = std::unordered_map<std::string_view, TokenId>;

  [[nodiscard]] Status collect(const TokenizerDefinition& definition, std::vector<Piece>& pieces);
  void name_characters(const std::vector<Piece>& pieces, Symbols& symbols);
  [[nodiscard]] static Expected<std::vector<Merge>> merges_of(const std::vector<Piece>& pieces, const Symbols& symbols);
  void split_unused(const std::vector<Piece>& pieces, const std::vector<Merge>& merges);
  [[nodiscard]] bool is_cut(TokenId before, char32_t character) const;
  void merge_stretch(ScoredBpeScratch& scratch, bool& after_unknown, std::vector<TokenId>& out) const;
  void append(TokenId symbol, bool& after_unknown, std::vector<TokenId>& out) const;

  TokenId vocab_size_ = 0;
  CharacterSymbols characters_;
  std::vector<std::string> lone_characters_;  // by symbol - vocab_size_
  MergeTable merges_;
  PieceTrie user_defined_;                    // whole wherever normalized text spells them, part of no merge
  std::vector<bool> before_space_;            // by symbol: a character that some token has in front of a space
  std::unordered_map<TokenId, std::pair<TokenId, TokenId>> parts_;  // of unused tokens: what they merge from
  FallbackTokens fallback_;
};

}  // namespace herd::tokenizer
