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
    case ModelKind::kUnigram:
      return fail(bad_input("SentencePiece vocabularies are not supported yet"));
  }
  HERD_UNREACHABLE("unknown kind of model");
}

void TokenModel::encode_piece(std::string_view piece, ModelScratch& scratch, std::vector<TokenId>& out) const {
  if (const auto* model = std::get_if<ByteBpe>(&kind_)) return model->encode_piece(piece, scratch.merging, out);
  return std::get<CharacterBpe>(kind_).encode_piece(piece, scratch.merging, out);
}

}  // namespace herd::tokenizer
