#pragma once
// Unigram language model (Kudo 2018): of all ways to cut a text into tokens the one whose scores, logarithms of
// probabilities, have the greatest sum; found by Viterbi's algorithm from left to right. Of equal sums the one found first
// stays, and sums are rounded as the reference rounds them, because repeated text makes ties common.

#include <cstddef>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/fallback_tokens.h"
#include "runtime/tokenizer/piece_trie.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

struct UnigramScratch {
  // The best token that ends at a place, and the sum of the best way to get there.
  struct End {
    double sum = 0.0;
    std::size_t begin = kNowhere;  // of that token, in the stretch
    TokenId id = 0;                // kUnknown: a character without a token
  };
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  static constexpr TokenId kUnknown = -1;

  std::vector<End> ends;          // by place in the stretch that is being cut
  std::vector<std::size_t> path;  // ends of its tokens, the last one first
};

// Immutable.
class Unigram {
 public:
  Unigram() = default;
  // kBadInput: two tokens of one spelling, a spelling that is too long or not UTF-8, a score that is no number.
  [[nodiscard]] static Expected<Unigram> build(const TokenizerDefinition& definition);

  // Appends the tokens of `text`: normalized, valid UTF-8. Time linear in its length times the length of the tokens.
  void encode_piece(std::string_view text, UnigramScratch& scratch, std::vector<TokenId>& out) const;

 private:
  [[nodiscard]] double rounded(double sum) const { return sums_in_double_ ? sum : static_cast<double>(static_cast<float>(sum)); }
  [[nodiscard]] double score(TokenId id, std::size_t size) const;
  void extend(std::string_view text, std::size_t at, UnigramScratch& scratch) const;
  void append_path(std::string_view stretch, UnigramScratch& scratch, bool& after_unknown, std::vector<TokenId>& out) const;

  PieceTrie pieces_;
  std::vector<double> scores_;     // by id
  std::vector<bool> user_defined_;  // by id: chosen wherever the text spells them
  double unknown_score_ = 0.0;     // of a character without a token
  float score_max_ = 0.0F;
  bool sums_in_double_ = false;
  FallbackTokens fallback_;
};

}  // namespace herd::tokenizer
