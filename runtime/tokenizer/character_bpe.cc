#include "runtime/tokenizer/character_bpe.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"

namespace herd::tokenizer {

Expected<CharacterBpe> CharacterBpe::build(const TokenizerDefinition& definition) {
  CharacterBpe model;
  model.whole_piece_first_ = definition.whole_piece_first;
  model.unknown_ = definition.unknown.value_or(TokenMap::kNone);
  model.fuse_unknown_ = definition.fuse_unknown;
  model.byte_tokens_ = definition.byte_tokens;
  model.merges_ = MergeTable(definition.merges);
  if (Status status = model.collect_tokens(definition); !status.ok()) return fail(std::move(status));
  model.cuts_at_spaces_ = model.merges_stop_at_spaces(definition);
  return model;
}

Status CharacterBpe::collect_tokens(const TokenizerDefinition& definition) {
  ascii_.fill(TokenMap::kNone);
  tokens_ = TokenMap(definition.tokens.size());
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) {
    const VocabularyToken& token = definition.tokens[i];
    if (token.kind != TokenKind::kOrdinary) continue;
    const std::string_view spelling = spelling_of(token);
    if (spelling.empty()) return bad_input("vocabulary: token " + std::to_string(i) + " is empty");
    if (tokens_.insert(spelling, static_cast<TokenId>(i)) != TokenMap::kNone) {
      return bad_input("vocabulary: token " + std::to_string(i) + " ('" + std::string(spelling) + "') occurs twice");
    }
    const auto first = static_cast<unsigned char>(spelling[0]);
    if (spelling.size() == 1 && first < ascii_.size()) ascii_[first] = static_cast<TokenId>(i);
  }
  return {};
}

bool CharacterBpe::merges_stop_at_spaces(const TokenizerDefinition& definition) const {
  const auto spelling = [&](TokenId id) { return spelling_of(definition.tokens[static_cast<std::size_t>(id)]); };
  return tokens_.find(kSpaceSymbol) != TokenMap::kNone &&
         std::none_of(definition.merges.begin(), definition.merges.end(), [&](const Merge& merge) {
           return spelling(merge.right).starts_with(kSpaceSymbol) && !spelling(merge.left).ends_with(kSpaceSymbol);
         });
}

void CharacterBpe::encode_piece(std::string_view piece, MergeScratch& scratch, std::vector<TokenId>& out) const {
  if (whole_piece_first_) {
    if (const TokenId whole = tokens_.find(piece); whole != TokenMap::kNone) {
      out.push_back(whole);
      return;
    }
  }
  std::vector<TokenId>& symbols = scratch.symbols;
  symbols.clear();
  bool unknown_due = false;
  bool after_space = true;
  for (std::size_t i = 0; i < piece.size();) {
    const std::string_view character = piece.substr(i, text::first_code_point(piece.substr(i)).size);
    const bool space = cuts_at_spaces_ && character == kSpaceSymbol;
    if (space && !after_space) {
      if (unknown_due) symbols.push_back(unknown_);
      unknown_due = false;
      scratch.merge_into(merges_, out);
      symbols.clear();
    }
    after_space = space;
    append_symbols(character, unknown_due, symbols);
    i += character.size();
  }
  if (unknown_due) symbols.push_back(unknown_);
  scratch.merge_into(merges_, out);
}

// The unknown token waits for the next character that has a token, as in the reference: where unknown tokens fuse, it then
// stands for all since; bytes that come meanwhile stand before it.
void CharacterBpe::append_symbols(std::string_view character, bool& unknown_due, std::vector<TokenId>& symbols) const {
  const auto first = static_cast<unsigned char>(character[0]);
  const TokenId id = first < ascii_.size() ? ascii_[first] : tokens_.find(character);
  if (id != TokenMap::kNone) {
    if (unknown_due) symbols.push_back(unknown_);
    unknown_due = false;
    symbols.push_back(id);
    return;
  }
  const auto byte_token = [this](char c) { return byte_tokens_[static_cast<unsigned char>(c)]; };
  if (std::none_of(character.begin(), character.end(), [&](char c) { return byte_token(c) == kNoByteToken; })) {
    for (const char c : character) symbols.push_back(byte_token(c));
    return;
  }
  if (unknown_ == TokenMap::kNone) return;
  if (unknown_due && !fuse_unknown_) symbols.push_back(unknown_);
  unknown_due = true;
}

}  // namespace herd::tokenizer
