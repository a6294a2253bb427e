#include "runtime/tokenizer/token_model.h"

#include <utility>

#include "kernels/check.h"

namespace herd::tokenizer {

template <class Model>
Expected<TokenModel> TokenModel::of(const TokenizerDefinition& definition) {
  auto model = Model::build(definition);
  if (!model) return fail(model.error());
  return TokenModel(std::move(*model));
}

Expected<TokenModel> TokenModel::build(const TokenizerDefinition& definition) {
  switch (definition.model) {
    case ModelKind::kByteBpe:
      return of<ByteBpe>(definition);
    case ModelKind::kCharacterBpe:
      return of<CharacterBpe>(definition);
    case ModelKind::kScoredBpe:
      return of<ScoredBpe>(definition);
    case ModelKind::kUnigram:
      return of<Unigram>(definition);
  }
  HERD_UNREACHABLE("unknown kind of model");
}

void TokenModel::encode_piece(std::string_view piece, ModelScratch& scratch, std::vector<TokenId>& out) const {
  if (const auto* model = std::get_if<ByteBpe>(&kind_)) return model->encode_piece(piece, scratch.merging, out);
  if (const auto* model = std::get_if<CharacterBpe>(&kind_)) return model->encode_piece(piece, scratch.merging, out);
  if (const auto* model = std::get_if<ScoredBpe>(&kind_)) return model->encode_piece(piece, scratch.scored, out);
  return std::get<Unigram>(kind_).encode_piece(piece, scratch.unigram, out);
}

}  // namespace herd::tokenizer
