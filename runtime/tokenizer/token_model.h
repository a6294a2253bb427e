#pragma once
// What turns a piece of a text into tokens: one of a closed set of models.

#include <string_view>
#include <variant>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/byte_bpe.h"
#include "runtime/tokenizer/character_bpe.h"
#include "runtime/tokenizer/scored_bpe.h"
#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/unigram.h"

namespace herd::tokenizer {

// Memory that one call of encode() lends to all its pieces.
struct ModelScratch {
  MergeScratch merging;
  ScoredBpeScratch scored;
  UnigramScratch unigram;
};

// Immutable and shared by threads.
class TokenModel {
 public:
  // The model that the definition names, of its tokens and merges. The texts of the tokens must outlive it.
  [[nodiscard]] static Expected<TokenModel> build(const TokenizerDefinition& definition);

  // Appends the tokens of a piece of normalized text, valid UTF-8.
  void encode_piece(std::string_view piece, ModelScratch& scratch, std::vector<TokenId>& out) const;

 private:
  using Kinds = std::variant<ByteBpe, CharacterBpe, ScoredBpe, Unigram>;

  explicit TokenModel(Kinds kind) : kind_(std::move(kind)) {}
  template <class Model>
  static Expected<TokenModel> of(const TokenizerDefinition& definition);

  Kinds kind_;
};

}  // namespace herd::tokenizer
