#include "runtime/tokenizer/sentencepiece_model.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "runtime/tokenizer/byte_spelling.h"

namespace herd::tokenizer {
namespace {

using Type = SentencePiece::Type;

// The token of a piece. Control tokens are also found in text, where the caller allows it.
Status add_piece(const SentencePieceFile& file, SentencePiece& piece, TokenizerDefinition& definition) {
  const auto id = static_cast<TokenId>(definition.tokens.size());
  const std::string where = "piece " + std::to_string(id) + " ('" + piece.text + "'): ";
  if (piece.text.empty()) return bad_input(where + "empty");
  VocabularyToken token;
  token.score = piece.score;
  switch (piece.type) {
    case Type::kNormal:
    case Type::kUserDefined:
    case Type::kUnused:
      token.kind = piece.type == Type::kNormal        ? TokenKind::kOrdinary
                   : piece.type == Type::kUserDefined ? TokenKind::kUserDefined
                                                      : TokenKind::kUnused;
      token.bytes = text_of_piece(piece.text);
      token.spelling = std::move(piece.text);
      break;
    case Type::kByte: {
      const auto byte = byte_of_spelling(piece.text);
      if (!byte) return bad_input(where + "not <0x00> … <0xFF>, the spelling of a byte");
      if (!file.byte_fallback) return bad_input(where + "a byte, although the model says that it has none (byte_fallback)");
      token.bytes = std::string(1, static_cast<char>(*byte));
      definition.byte_tokens[*byte] = id;
      break;
    }
    case Type::kUnknown:
    case Type::kControl: {
      if (piece.type == Type::kUnknown) {
        if (definition.unknown) return bad_input(where + "a second unknown token");
        definition.unknown = id;
      }
      token.kind = TokenKind::kSpecial;
      token.bytes = piece.text;
      AddedToken added;
      added.id = id;
      added.content = std::move(piece.text);
      definition.added.push_back(std::move(added));
      break;
    }
  }
  definition.tokens.push_back(std::move(token));
  return {};
}

// What the model promises and encoding relies on.
Status check_whole(const SentencePieceFile& file, const TokenizerDefinition& definition) {
  if (file.model == SentencePieceFile::Model::kWord) return bad_input("a model of words ('word'): bpe and unigram are supported");
  if (file.model == SentencePieceFile::Model::kCharacter) {
    return bad_input("a model of characters ('char'): bpe and unigram are supported");
  }
  if (file.replaces_when_decoding) return bad_input("replaces characters of decoded text (denormalizer_spec), which is not supported");
  if (!definition.unknown) return bad_input("no unknown token among " + std::to_string(file.pieces.size()) + " pieces");
  if (!file.byte_fallback) return {};
  for (std::size_t byte = 0; byte < definition.byte_tokens.size(); ++byte) {
    if (definition.byte_tokens[byte] == kNoByteToken) {
      return bad_input("no piece for byte " + std::to_string(byte) + ", although the model says that it has them (byte_fallback)");
    }
  }
  return {};
}

// Tokens that are also, or only, found in the text: of the vocabulary, by their spelling, or behind it.
Status add_declared(const DeclaredAddedTokens& declared, TokenizerDefinition& definition) {
  if (declared.tokens.empty()) return {};
  std::unordered_map<std::string, std::size_t> places;  // in definition.added, by text
  for (std::size_t i = 0; i < definition.added.size(); ++i) places.emplace(definition.added[i].content, i);
  std::unordered_map<std::string, TokenId> spelled;
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) spelled.emplace(spelling_of(definition.tokens[i]), static_cast<TokenId>(i));
  for (AddedToken added : declared.tokens) {
    if (definition.tokens.size() == kVocabularySizeMax) return bad_input("more than " + std::to_string(kVocabularySizeMax) + " tokens");
    added.normalized = false;
    if (const auto place = places.find(added.content); place != places.end()) {
      AddedToken& known = definition.added[place->second];
      if (!declared.restate || added.id < 0) continue;
      added.id = known.id;
      added.special = added.special || known.special;
      known = std::move(added);
      continue;
    }
    const auto [entry, is_new] = spelled.emplace(added.content, static_cast<TokenId>(definition.tokens.size()));
    if (is_new) definition.tokens.emplace_back();
    added.id = entry->second;
    VocabularyToken& token = definition.tokens[static_cast<std::size_t>(added.id)];
    token = {};
    token.bytes = added.content;
    token.kind = added.special ? TokenKind::kSpecial : TokenKind::kAdded;
    places.emplace(added.content, definition.added.size());
    definition.added.push_back(std::move(added));
  }
  return {};
}

std::optional<TokenId> control_token(std::string_view text, const TokenizerDefinition& definition) {
  for (const AddedToken& token : definition.added) {
    if (token.content == text && token.id != definition.unknown) return token.id;
  }
  return std::nullopt;
}

}  // namespace

Expected<TokenizerDefinition> sentencepiece_definition(std::string_view content, std::string_view name,
                                                       const SentencePieceOptions& options) {
  auto file = read_sentencepiece_file(content, name);
  if (!file) return fail(file.error());
  const auto refuse = [&](const Status& status) { return fail(bad_input(std::string(name) + ": " + status.message())); };
  TokenizerDefinition definition;
  definition.tokens.reserve(file->pieces.size());
  for (SentencePiece& piece : file->pieces) {
    if (const Status status = add_piece(*file, piece, definition); !status.ok()) return refuse(status);
  }
  if (const Status status = check_whole(*file, definition); !status.ok()) return refuse(status);
  if (const Status status = add_declared(options.declared, definition); !status.ok()) return refuse(status);

  definition.model = file->model == SentencePieceFile::Model::kBpe ? ModelKind::kScoredBpe : ModelKind::kUnigram;
  definition.fuse_unknown = true;
  definition.bos = control_token(file->bos_piece, definition);
  const auto eos = control_token(file->eos_piece, definition);
  if (eos) definition.eos = {*eos};
  if (options.add_bos_token && definition.bos) definition.prefix = {*definition.bos};
  if (options.add_eos_token && eos) definition.suffix = {*eos};
  SentencePieceRules rules = std::move(file->rules);
  rules.dummy_prefix = options.add_prefix_space.value_or(rules.dummy_prefix);
  rules.prefix_every_stretch = options.legacy;
  definition.drops_leading_space = rules.dummy_prefix || rules.remove_extra_spaces;
  definition.sentencepiece = std::move(rules);
  return definition;
}

Expected<Tokenizer> parse_sentencepiece_model(std::string_view content, std::string_view name,
                                              const SentencePieceOptions& options) {
  return Tokenizer::build(sentencepiece_definition(content, name, options), name);
}

std::string text_of_piece(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const std::size_t size = piece.find(kSpaceSymbol);
    text.append(piece.substr(0, size));
    if (size == std::string_view::npos) break;
    text.push_back(' ');
    piece.remove_prefix(size + kSpaceSymbol.size());
  }
  return text;
}

}  // namespace herd::tokenizer
