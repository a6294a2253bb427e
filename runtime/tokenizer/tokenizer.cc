#include "runtime/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "kernels/check.h"
#include "runtime/text/utf8.h"
#include "runtime/tokenizer/text_digest.h"

namespace herd::tokenizer {
namespace {

constexpr TokenId kNoToken = -1;

// Meta's wrapper: tiktoken gets at most 400,000 characters at once, and no run of more than 25,000 characters that
// are all white space or all not (llama_models, llama3/tokenizer.py).
constexpr std::size_t kSliceCharacters = 400'000;
constexpr std::size_t kSliceRun = 25'000;

constexpr std::array<std::string_view, 16> kEndNames = {
    "<|end_of_text|>", "<|eom_id|>",    "<|eot_id|>",      "<|im_end|>",    "<|endoftext|>", "</s>",
    "<|end|>",         "<end_of_turn>", "<|end_of_turn|>", "<|eot|>",       "<|eom|>",       "<eos>",
    "<|eos|>",         "<EOT>",         "<|return|>",      "<|endofturn|>"};

template <class Use>
void for_each_meta_slice(std::string_view text, Use use) {
  std::size_t begin = 0;
  std::size_t characters = 0;  // since the last cut at kSliceCharacters
  std::size_t run = 0;
  bool run_is_space = false;
  for (std::size_t i = 0; i < text.size();) {
    const text::CodePoint next = text::first_code_point(text.substr(i));
    const bool space = text::is_python_space(next.value);
    if (characters == kSliceCharacters) {
      use(text.substr(begin, i - begin));
      begin = i;
      characters = 0;
      run = 0;
    }
    if (run == 0 || space != run_is_space) {
      run = 1;
      run_is_space = space;
    } else if (++run > kSliceRun) {
      use(text.substr(begin, i - begin));
      begin = i;
      run = 1;
    }
    ++characters;
    i += next.size;
  }
  use(text.substr(begin));
}

// White space that a token with strip_left takes from the end of `text`, in bytes; likewise from its front.
std::size_t space_at_end(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!text::is_white_space(text::first_code_point(text.substr(begin)).value)) break;
    end = begin;
  }
  return text.size() - end;
}

std::size_t space_at_front(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size()) {
    const text::CodePoint next = text::first_code_point(text.substr(size));
    if (!text::is_white_space(next.value)) break;
    size += next.size;
  }
  return size;
}

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
    const std::string where = "merges[" + std::to_string(i) + "]: ";
    if (!known(merge.left) || !known(merge.right) || !known(merge.result)) return bad_input(where + "id outside the vocabulary");
    if (kind(merge.result) != TokenKind::kOrdinary) {
      return bad_input(where + "builds " + name_of(merge.result, definition) + ", which text must not become by merging");
    }
  }
  for (const AddedToken& token : definition.added) {
    if (!known(token.id)) return bad_input("added token '" + token.content + "': id outside the vocabulary");
    if (token.content.empty()) return bad_input("added token " + std::to_string(token.id) + ": empty text");
    if (token.content.size() > kAddedTokenBytesMax) return bad_input("added token " + std::to_string(token.id) + ": text too long");
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
  MergeTable merges;
  std::unordered_map<std::string_view, TokenId> ordinary;  // views into definition.tokens
  std::unordered_map<std::string_view, TokenId> special;   // likewise
  std::array<TokenId, 256> byte_token{};                   // kNoToken: the byte has none
  std::array<AddedTokenMatcher, 2> added;                  // raw, then normalized: the order they are searched in
  PreTokenizer pre_tokenizer;
  std::optional<TokenId> bos;
  std::vector<TokenId> eos;
  std::string digest;
};

Expected<Tokenizer> Tokenizer::build(TokenizerDefinition definition) {
  if (Status status = check_definition(definition); !status.ok()) return fail(std::move(status));

  auto tables = std::make_shared<Tables>();
  tables->digest = text_digest(definition, {});
  tables->definition = std::move(definition);
  TokenizerDefinition& kept = tables->definition;
  tables->merges = MergeTable(kept.merges);
  if (tables->merges.has_duplicates()) return fail(bad_input("merges: a pair occurs twice"));
  kept.merges = {};

  tables->byte_token.fill(kNoToken);
  for (std::size_t i = 0; i < kept.tokens.size(); ++i) {
    const auto& [bytes, kind] = kept.tokens[i];
    const auto id = static_cast<TokenId>(i);
    if (kind != TokenKind::kOrdinary) continue;
    if (bytes.empty()) return fail(bad_input("vocabulary: token " + std::to_string(i) + " is empty"));
    if (!tables->ordinary.emplace(bytes, id).second) return fail(bad_input("vocabulary: " + name_of(id, kept) + " occurs twice"));
    if (bytes.size() == 1) tables->byte_token[static_cast<unsigned char>(bytes[0])] = id;
  }

  std::array<std::vector<AddedToken>, 2> added;
  std::unordered_map<std::string_view, TokenId> texts;
  for (AddedToken& token : kept.added) {
    // The map's views must outlive this loop: they point at the token's own text.
    VocabularyToken& entry = kept.tokens[static_cast<std::size_t>(token.id)];
    if (entry.bytes != token.content || entry.kind != (token.special ? TokenKind::kSpecial : TokenKind::kAdded)) {
      return fail(bad_input("added token '" + token.content + "': the vocabulary has " + name_of(token.id, kept) + " there"));
    }
    if (!texts.emplace(entry.bytes, token.id).second) return fail(bad_input("added token '" + token.content + "': occurs twice"));
    if (token.special) tables->special.emplace(entry.bytes, token.id);
    added[token.normalized ? 1 : 0].push_back(std::move(token));
  }
  kept.added = {};
  for (std::size_t pass = 0; pass < added.size(); ++pass) tables->added[pass] = AddedTokenMatcher(std::move(added[pass]));

  tables->pre_tokenizer = PreTokenizer(kept.pre_tokenizer);
  const auto has_token = [&](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) < kept.tokens.size(); };
  // Ids without a token never come; a file may declare them all the same.
  if (kept.bos && has_token(*kept.bos)) tables->bos = kept.bos;
  if (!tables->bos && !kept.prefix.empty()) tables->bos = kept.prefix.front();
  std::copy_if(kept.eos.begin(), kept.eos.end(), std::back_inserter(tables->eos), has_token);
  for (const std::string_view name : kEndNames) {
    if (const auto found = tables->special.find(name); found != tables->special.end()) tables->eos.push_back(found->second);
  }
  std::sort(tables->eos.begin(), tables->eos.end());
  tables->eos.erase(std::unique(tables->eos.begin(), tables->eos.end()), tables->eos.end());
  return Tokenizer(std::move(tables));
}

struct Tokenizer::Encoding {
  const Tables& tables;
  bool parse_special = false;
  MergeScratch scratch;
  std::vector<TokenId> ids;

  // Added tokens of one pass (raw, then normalized) are cut out; the text between them goes to the next pass.
  void encode_added(std::string_view text, std::size_t pass) {
    if (pass == tables.added.size()) {
      encode_ordinary(text);
      return;
    }
    const AddedTokenMatcher& matcher = tables.added[pass];
    std::size_t done = 0;
    std::size_t from = 0;
    while (const auto match = matcher.find(text, from)) {
      from = match->end;
      if (match->token->special && !parse_special) continue;
      std::size_t begin = match->begin;
      std::size_t end = match->end;
      if (match->token->strip_left && begin > done) begin -= space_at_end(text.substr(done, begin - done));
      if (match->token->strip_right) end += space_at_front(text.substr(end));
      if (begin > done) encode_added(text.substr(done, begin - done), pass + 1);
      ids.push_back(match->token->id);
      done = std::max(done, end);
      from = done;  // what strip_right took is not searched again
    }
    if (done < text.size()) encode_added(text.substr(done), pass + 1);
  }

  void encode_ordinary(std::string_view text) {
    Pieces pieces;
    tables.pre_tokenizer.split(text, pieces);
    for (const std::string_view piece : pieces.views) encode_piece(piece);
  }

  void encode_piece(std::string_view piece) {
    if (tables.definition.whole_piece_first) {
      if (const auto found = tables.ordinary.find(piece); found != tables.ordinary.end()) {
        ids.push_back(found->second);
        return;
      }
    }
    std::vector<TokenId>& symbols = scratch.symbols;
    symbols.clear();
    symbols.reserve(piece.size());
    bool last_unknown = false;
    for (const char c : piece) {
      const TokenId id = tables.byte_token[static_cast<unsigned char>(c)];
      const bool unknown = id == kNoToken;
      if (!unknown) {
        symbols.push_back(id);
      } else if (tables.definition.unknown && !(last_unknown && tables.definition.fuse_unknown)) {
        symbols.push_back(*tables.definition.unknown);
      }
      last_unknown = unknown;
    }
    scratch.merge_into(tables.merges, ids);
  }
};

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TokenizerDefinition& definition = tables_->definition;
  std::string repaired;
  if (!text::is_valid_utf8(text)) {
    repaired = text::replace_invalid_utf8(text);
    text = repaired;
  }
  Encoding encoding{*tables_, options.parse_special, {}, {}};
  encoding.ids.reserve(text.size() / 4 + 4);  // about 4 bytes a token in English
  if (options.add_bos) encoding.ids = definition.prefix;
  if (definition.meta_slices) {
    for_each_meta_slice(text, [&](std::string_view slice) { encoding.encode_added(slice, 0); });
  } else {
    encoding.encode_added(text, 0);
  }
  if (options.add_bos) encoding.ids.insert(encoding.ids.end(), definition.suffix.begin(), definition.suffix.end());
  return std::move(encoding.ids);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (!skip_special || !is_special(id)) bytes.append(token_bytes(id));
  }
  return text::is_valid_utf8(bytes) ? bytes : text::replace_invalid_utf8(bytes);
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size()) return {};
  return tables_->definition.tokens[static_cast<std::size_t>(id)].bytes;
}

bool Tokenizer::is_special(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size()) return false;
  return tables_->definition.tokens[static_cast<std::size_t>(id)].kind == TokenKind::kSpecial;
}

std::optional<TokenId> Tokenizer::find_special(std::string_view text) const {
  const auto found = tables_->special.find(text);
  if (found == tables_->special.end()) return std::nullopt;
  return found->second;
}

std::optional<TokenId> Tokenizer::find_token(std::string_view bytes) const {
  const auto found = tables_->ordinary.find(bytes);
  if (found == tables_->ordinary.end()) return std::nullopt;
  return found->second;
}

std::size_t Tokenizer::vocab_size() const { return tables_->definition.tokens.size(); }
std::size_t Tokenizer::ordinary_size() const {
  const std::vector<VocabularyToken>& tokens = tables_->definition.tokens;
  std::size_t size = tokens.size();
  while (size > 0 && tokens[size - 1].kind != TokenKind::kOrdinary) --size;
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
