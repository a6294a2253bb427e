#include "runtime/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/meta_slices.h"
#include "runtime/tokenizer/normalizer.h"
#include "runtime/tokenizer/text_digest.h"
#include "runtime/tokenizer/token_map.h"
#include "runtime/tokenizer/token_model.h"
#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

constexpr std::array<std::string_view, 16> kEndNames = {
    "<|end_of_text|>", "<|eom_id|>",    "<|eot_id|>",      "<|im_end|>",    "<|endoftext|>", "</s>",
    "<|end|>",         "<end_of_turn>", "<|end_of_turn|>", "<|eot|>",       "<|eom|>",       "<eos>",
    "<|eos|>",         "<EOT>",         "<|return|>",      "<|endofturn|>"};

std::string name_of(TokenId id, const TokenizerDefinition& definition) {
  return "token " + std::to_string(id) + " ('" + definition.tokens[static_cast<std::size_t>(id)].bytes + "')";
}

// What Tokenizer::build() demands of the ids and lists; the rest is checked while the tables are made.
Status check_definition(const TokenizerDefinition& definition) {
  const std::size_t size = definition.tokens.size();
  if (size == 0) return bad_input("vocabulary: empty");
  if (size > kVocabularySizeMax) return bad_input("vocabulary: more than " + std::to_string(kVocabularySizeMax) + " tokens");
  if (definition.merges.size() > kMergesMax) return bad_input("merges: more than " + std::to_string(kMergesMax));
  const auto known = [size](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) < size; };
  const auto kind = [&](TokenId id) { return definition.tokens[static_cast<std::size_t>(id)].kind; };

  for (std::size_t i = 0; i < definition.merges.size(); ++i) {
    const Merge& merge = definition.merges[i];
    const auto where = [i] { return "merges[" + std::to_string(i) + "]: "; };
    if (!known(merge.left) || !known(merge.right) || !known(merge.result)) return bad_input(where() + "id outside the vocabulary");
    if (kind(merge.result) != TokenKind::kOrdinary && kind(merge.result) != TokenKind::kAdded) {
      return bad_input(where() + "builds " + name_of(merge.result, definition) + ", which text must not become by merging");
    }
  }
  for (const AddedToken& token : definition.added) {
    if (!known(token.id)) return bad_input("added token '" + token.content + "': id outside the vocabulary");
    if (token.content.empty()) return bad_input("added token " + std::to_string(token.id) + ": empty text");
    if (!text::is_valid_utf8(token.content)) return bad_input("added token " + std::to_string(token.id) + ": not UTF-8");
    if (token.content.size() > kAddedTokenBytesMax) return bad_input("added token " + std::to_string(token.id) + ": text too long");
    const bool fits = token.special ? kind(token.id) == TokenKind::kSpecial
                                    : kind(token.id) == TokenKind::kAdded || kind(token.id) == TokenKind::kOrdinary;
    if (!fits) return bad_input("added token '" + token.content + "': the vocabulary has " + name_of(token.id, definition) + " there");
  }
  for (const TokenId id : definition.byte_tokens) {
    if (id == kNoByteToken) continue;
    if (!known(id)) return bad_input("token " + std::to_string(id) + " of a byte: outside the vocabulary");
    if (kind(id) == TokenKind::kSpecial) return bad_input(name_of(id, definition) + " is both a control token and that of a byte");
  }
  std::vector<TokenId> named = definition.prefix;
  named.insert(named.end(), definition.suffix.begin(), definition.suffix.end());
  if (definition.unknown) named.push_back(*definition.unknown);
  for (const TokenId id : named) {
    if (!known(id)) return bad_input("prefix, suffix or unknown token " + std::to_string(id) + ": outside the vocabulary");
  }
  return {};
}

}  // namespace

struct Tokenizer::Tables {
  TokenizerDefinition definition;  // tokens are read in place; merges and added tokens have moved to the tables
  TokenMap special;                // views into `names`
  std::deque<std::string> names;
  std::array<AddedTokenMatcher, 2> added;  // in the text as it is, then in normalized text
  Normalizer normalizer;
  std::optional<SentencePieceNormalizer> sentencepiece;  // instead of `normalizer`
  PreTokenizer pre_tokenizer;
  std::optional<TokenModel> model;
  std::optional<TokenId> bos;
  std::vector<TokenId> eos;
  std::string digest;

  Status take_normalizer();
  Status take_added_tokens();
  void find_ends();
};

Status Tokenizer::Tables::take_normalizer() {
  auto steps = Normalizer::build(definition.normalizer);
  if (!steps) return steps.error();
  normalizer = std::move(*steps);
  if (!definition.sentencepiece) return {};
  std::vector<PieceTrie::Entry> kept;
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) {
    const VocabularyToken& token = definition.tokens[i];
    if (token.kind == TokenKind::kUserDefined) kept.push_back({spelling_of(token), static_cast<TokenId>(i)});
  }
  auto built = SentencePieceNormalizer::build(*definition.sentencepiece, std::move(kept));
  if (!built) return built.error();
  sentencepiece = std::move(*built);
  definition.sentencepiece->charsmap = {};
  return {};
}

Status Tokenizer::Tables::take_added_tokens() {
  std::array<std::vector<AddedToken>, 2> passes;
  TokenMap texts(definition.added.size());
  special = TokenMap(definition.added.size());
  // Control tokens first: of two whose normalized texts are equal, the first one counts.
  std::stable_partition(definition.added.begin(), definition.added.end(), [](const AddedToken& token) { return token.special; });
  for (AddedToken& token : definition.added) {
    const std::string& name = names.emplace_back(token.content);
    if (texts.insert(name, token.id) != TokenMap::kNone) return bad_input("added token '" + token.content + "': occurs twice");
    if (token.special) special.insert(name, token.id);
    if (token.normalized) {
      token.content = normalizer.apply({token.content, {}}).bytes;
      if (token.content.empty()) return bad_input("added token '" + name + "': nothing is left of it when it is normalized");
      if (token.content.size() > kAddedTokenBytesMax) return bad_input("added token '" + name + "': too long when it is normalized");
    }
    passes[token.normalized ? 1 : 0].push_back(std::move(token));
  }
  definition.added = {};
  for (std::size_t pass = 0; pass < passes.size(); ++pass) added[pass] = AddedTokenMatcher(std::move(passes[pass]));
  return {};
}

// Ids without a token never come; a file may declare them all the same.
void Tokenizer::Tables::find_ends() {
  const auto has_token = [&](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) < definition.tokens.size(); };
  if (definition.bos && has_token(*definition.bos)) bos = definition.bos;
  if (!bos && !definition.prefix.empty()) bos = definition.prefix.front();
  std::copy_if(definition.eos.begin(), definition.eos.end(), std::back_inserter(eos), has_token);
  for (const std::string_view name : kEndNames) {
    if (const TokenId id = special.find(name); id != TokenMap::kNone) eos.push_back(id);
  }
  std::sort(eos.begin(), eos.end());
  eos.erase(std::unique(eos.begin(), eos.end()), eos.end());
}

Expected<Tokenizer> Tokenizer::build(TokenizerDefinition definition) {
  if (Status status = check_definition(definition); !status.ok()) return fail(std::move(status));
  auto tables = std::make_shared<Tables>();
  tables->definition = std::move(definition);
  TokenizerDefinition& kept = tables->definition;
  Expected<TokenModel> model = fail(Status());
  side_by_side(
      kept.tokens.size(), [&] { model = TokenModel::build(kept); }, [&] { tables->digest = text_digest(kept, {}); });

  if (Status status = tables->take_normalizer(); !status.ok()) return fail(std::move(status));
  auto pre_tokenizer = PreTokenizer::build(kept.pre_tokenizer);
  if (!pre_tokenizer) return fail(pre_tokenizer.error());
  tables->pre_tokenizer = std::move(*pre_tokenizer);
  if (!model) return fail(model.error());
  tables->model = std::move(*model);
  kept.merges = {};
  if (Status status = tables->take_added_tokens(); !status.ok()) return fail(std::move(status));
  tables->find_ends();
  return Tokenizer(std::move(tables));
}

Expected<Tokenizer> Tokenizer::build(Expected<TokenizerDefinition> definition, std::string_view name) {
  if (!definition) return fail(definition.error());
  auto built = build(std::move(*definition));
  if (!built) return fail(bad_input(std::string(name) + ": " + built.error().message()));
  return built;
}

// Added tokens are cut out of the text as it is; what stands between them is normalized, added tokens that are themselves
// normalized are cut out of that, and the rest goes to the model piece by piece.
struct Tokenizer::Encoding {
  const Tables& tables;
  const EncodeOptions& options;
  Pieces pieces;
  ModelScratch scratch;
  std::string spelled;  // a stretch as SentencePiece normalizes it
  std::vector<TokenId> ids;

  Encoding(const Tables& of, const EncodeOptions& how) : tables(of), options(how) {}

  // Bytes [begin, end) of the whole text.
  void encode_slice(std::string_view whole, std::size_t begin, std::size_t end) {
    const std::string_view slice = whole.substr(begin, end - begin);
    const std::vector<text::ByteRange> foreign = text::within(options.foreign, begin, end);
    for (const TextPart& part : tables.added[0].cut(slice, {options.parse_special, foreign})) {
      if (part.token) {
        ids.push_back(*part.token);
      } else {
        encode_stretch(slice.substr(part.begin, part.end - part.begin), begin + part.begin);
      }
    }
  }

  void encode_stretch(std::string_view stretch, std::size_t begin) {
    if (tables.sentencepiece) {
      spelled.clear();
      tables.sentencepiece->normalize(stretch, begin == 0, spelled);
      tables.model->encode_piece(spelled, scratch, ids);
      return;
    }
    if (tables.normalizer.empty() && tables.added[1].empty()) {
      encode_pieces(stretch, begin == 0);
      return;
    }
    const text::MarkedText normalized =
        tables.normalizer.apply({std::string(stretch), text::within(options.foreign, begin, begin + stretch.size())});
    const std::string_view bytes = normalized.bytes;
    for (const TextPart& part : tables.added[1].cut(bytes, {options.parse_special, normalized.foreign})) {
      if (part.token) {
        ids.push_back(*part.token);
      } else {
        encode_pieces(bytes.substr(part.begin, part.end - part.begin), begin == 0 && part.begin == 0);
      }
    }
  }

  void encode_pieces(std::string_view text, bool at_start) {
    tables.pre_tokenizer.split(text, at_start, pieces);
    for (const std::string_view piece : pieces.views) tables.model->encode_piece(piece, scratch, ids);
  }
};

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TokenizerDefinition& definition = tables_->definition;
  text::MarkedText repaired;
  if (!text::is_valid_utf8(text)) {
    repaired = text::repair(text, options.foreign);
    text = repaired.bytes;
    options.foreign = repaired.foreign;
  }
  Encoding encoding(*tables_, options);
  encoding.ids.reserve(text.size() / 4 + 4);  // about 4 bytes a token in English
  if (options.add_bos) encoding.ids = definition.prefix;
  if (definition.meta_slices) {
    for_each_meta_slice(text, [&](std::size_t begin, std::size_t end) { encoding.encode_slice(text, begin, end); });
  } else {
    encoding.encode_slice(text, 0, text.size());
  }
  if (options.add_bos) encoding.ids.insert(encoding.ids.end(), definition.suffix.begin(), definition.suffix.end());
  return std::move(encoding.ids);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  bool begins = true;
  for (const TokenId id : ids) {
    if ((skip_special && is_special(id)) || token_bytes(id).empty()) continue;
    if (begins) {
      bytes = opening_bytes(id);
    } else {
      bytes.append(token_bytes(id));
    }
    begins = false;
  }
  return text::is_valid_utf8(bytes) ? bytes : text::replace_invalid_utf8(bytes);
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size()) return {};
  return tables_->definition.tokens[static_cast<std::size_t>(id)].bytes;
}

std::string Tokenizer::opening_bytes(TokenId id) const {
  const TokenizerDefinition& definition = tables_->definition;
  std::string bytes(token_bytes(id));
  if (bytes.empty()) return bytes;
  if (const std::string& dropped = definition.first_token_drops; !dropped.empty()) {
    bytes = spelling_of(definition.tokens[static_cast<std::size_t>(id)]);
    for (std::size_t at = bytes.find(dropped); at != std::string::npos; at = bytes.find(dropped, at)) bytes.erase(at, dropped.size());
  } else if (definition.drops_leading_space && bytes.front() == ' ') {
    bytes.erase(0, 1);
  }
  return bytes;
}

bool Tokenizer::is_special(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size()) return false;
  return tables_->definition.tokens[static_cast<std::size_t>(id)].kind == TokenKind::kSpecial;
}

std::optional<TokenId> Tokenizer::find_special(std::string_view text) const {
  const TokenId id = tables_->special.find(text);
  return id == TokenMap::kNone ? std::nullopt : std::optional(id);
}

std::size_t Tokenizer::vocab_size() const { return tables_->definition.tokens.size(); }
std::size_t Tokenizer::ordinary_size() const {
  const Table<VocabularyToken>& tokens = tables_->definition.tokens;
  std::size_t size = tokens.size();
  const auto needs_row = [](TokenKind kind) { return kind == TokenKind::kOrdinary || kind == TokenKind::kUserDefined; };
  while (size > 0 && !needs_row(tokens[size - 1].kind)) --size;
  return size;
}

bool Tokenizer::begins_twice(std::span<const TokenId> ids) const {
  const std::vector<TokenId>& prefix = tables_->definition.prefix;
  return !prefix.empty() && ids.size() > prefix.size() && ids[prefix.size() - 1] == prefix.back() &&
         ids[prefix.size()] == prefix.back();
}

Status Tokenizer::check_rows(std::span<const TokenId> ids, int vocab_size) const {
  for (const TokenId id : ids) {
    if (id < vocab_size) continue;
    return usage_error("the prompt holds " + std::string(token_bytes(id)) + " (token " + std::to_string(id) +
                       "), which the model has no row for: its vocabulary ends at " + std::to_string(vocab_size - 1));
  }
  return {};
}

std::optional<TokenId> Tokenizer::bos_id() const { return tables_->bos; }
const std::string& Tokenizer::digest() const { return tables_->digest; }

std::span<const TokenId> Tokenizer::eos_ids() const { return tables_->eos; }
bool Tokenizer::valid_utf8(std::string_view text) { return text::is_valid_utf8(text); }

bool is_end_name(std::string_view name) {
  return std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end();
}

}  // namespace herd::tokenizer
