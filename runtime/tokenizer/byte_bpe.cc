#include "runtime/tokenizer/byte_bpe.h"

#include <string>
#include <utility>

#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {

Expected<ByteBpe> ByteBpe::build(const TokenizerDefinition& definition) {
  ByteBpe model;
  model.whole_piece_first_ = definition.whole_piece_first;
  model.unknown_ = definition.unknown.value_or(TokenMap::kNone);
  model.fuse_unknown_ = definition.fuse_unknown;
  Status status;
  side_by_side(
      definition.tokens.size(), [&] { status = model.collect_tokens(definition); },
      [&] { model.merges_ = MergeTable(definition.merges); });
  if (!status.ok()) return fail(std::move(status));
  return model;
}

Status ByteBpe::collect_tokens(const TokenizerDefinition& definition) {
  byte_token_.fill(TokenMap::kNone);
  tokens_ = TokenMap(definition.tokens.size());
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) {
    const VocabularyToken& token = definition.tokens[i];
    const auto id = static_cast<TokenId>(i);
    if (token.kind != TokenKind::kOrdinary) continue;
    const std::string_view bytes = spelling_of(token);
    if (bytes.empty()) return bad_input("vocabulary: token " + std::to_string(i) + " is empty");
    if (tokens_.insert(bytes, id) != TokenMap::kNone) {
      return bad_input("vocabulary: token " + std::to_string(i) + " ('" + std::string(bytes) + "') occurs twice");
    }
    if (bytes.size() == 1) byte_token_[static_cast<unsigned char>(bytes[0])] = id;
  }
  return {};
}

void ByteBpe::encode_piece(std::string_view piece, MergeScratch& scratch, std::vector<TokenId>& out) const {
  if (whole_piece_first_) {
    if (const TokenId whole = tokens_.find(piece); whole != TokenMap::kNone) {
      out.push_back(whole);
      return;
    }
  }
  std::vector<TokenId>& symbols = scratch.symbols;
  symbols.clear();
  bool after_unknown = false;
  for (const char c : piece) {
    const TokenId id = byte_token_[static_cast<unsigned char>(c)];
    const bool unknown = id == TokenMap::kNone;
    if (!unknown) {
      symbols.push_back(id);
    } else if (unknown_ != TokenMap::kNone && !(after_unknown && fuse_unknown_)) {
      symbols.push_back(unknown_);
    }
    after_unknown = unknown;
  }
  scratch.merge_into(merges_, out);
}

}  // namespace herd::tokenizer
