#include "runtime/tokenizer/scored_bpe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_set>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"

namespace herd::tokenizer {
namespace {

constexpr char32_t kSpaceCharacter = 0x2581;

std::size_t first_size(std::string_view text) { return text::first_code_point(text).size; }

// 0 for the highest score, equal for equal scores.
std::vector<std::uint32_t> ranks_of(const std::vector<double>& scores) {
  std::vector<double> levels = scores;
  std::sort(levels.begin(), levels.end(), std::greater<>());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  std::vector<std::uint32_t> ranks;
  ranks.reserve(scores.size());
  for (const double score : scores) {
    const auto level = std::lower_bound(levels.begin(), levels.end(), score, std::greater<>());
    ranks.push_back(static_cast<std::uint32_t>(level - levels.begin()));
  }
  return ranks;
}

}  // namespace

Expected<ScoredBpe> ScoredBpe::build(const TokenizerDefinition& definition) {
  ScoredBpe model;
  model.vocab_size_ = static_cast<TokenId>(definition.tokens.size());
  model.fallback_ = FallbackTokens(definition);
  std::vector<Piece> pieces;
  if (Status status = model.collect(definition, pieces); !status.ok()) return fail(std::move(status));

  Symbols symbols;
  symbols.reserve(pieces.size());
  for (const Piece& piece : pieces) symbols.emplace(piece.spelling, piece.id);
  model.name_characters(pieces, symbols);
  auto merges = model.merges_of(pieces, symbols);
  if (!merges) return fail(merges.error());
  model.split_unused(pieces, *merges);
  model.merges_ = MergeTable(*merges);
  return model;
}

Status ScoredBpe::collect(const TokenizerDefinition& definition, std::vector<Piece>& pieces) {
  std::vector<PieceTrie::Entry> user_defined;
  std::unordered_set<std::string_view> spellings;
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) {
    const VocabularyToken& token = definition.tokens[i];
    const bool unused = token.kind == TokenKind::kUnused && !token.spelling.empty();
    const bool whole = token.kind == TokenKind::kUserDefined;
    if (token.kind != TokenKind::kOrdinary && !unused && !whole) continue;
    const std::string_view spelling = spelling_of(token);
    const std::string where = "vocabulary: token " + std::to_string(i) + ": ";
    if (spelling.empty()) return bad_input(where + "empty");
    if (!text::is_valid_utf8(spelling)) return bad_input(where + "not UTF-8");
    if (spelling.size() > (whole ? kAddedTokenBytesMax : kScoredPieceBytesMax)) return bad_input(where + "too long");
    if (!std::isfinite(token.score)) return bad_input(where + "its score is not a number");
    if (!spellings.insert(spelling).second) return bad_input(where + "'" + std::string(spelling) + "' occurs twice");
    const auto id = static_cast<TokenId>(i);
    if (whole) {
      user_defined.push_back({spelling, id});
    } else {
      pieces.push_back({spelling, id, token.score, unused});
    }
  }
  user_defined_ = PieceTrie(std::move(user_defined));
  return {};
}

// Gives each character of the pieces its symbol, and marks those that a piece has in front of a space.
void ScoredBpe::name_characters(const std::vector<Piece>& pieces, Symbols& symbols) {
  std::vector<TokenId> before_space;
  for (const Piece& piece : pieces) {
    TokenId previous = CharacterSymbols::kNone;
    for (std::string_view rest = piece.spelling; !rest.empty();) {
      const text::CodePoint next = text::first_code_point(rest);
      TokenId symbol = characters_.find(next.value);
      if (symbol == CharacterSymbols::kNone) {
        const auto beyond = vocab_size_ + static_cast<TokenId>(lone_characters_.size());
        const auto [entry, is_lone] = symbols.emplace(rest.substr(0, next.size), beyond);
        if (is_lone) lone_characters_.emplace_back(entry->first);
        symbol = entry->second;
        characters_.set(next.value, symbol);
      }
      if (next.value == kSpaceCharacter && previous != CharacterSymbols::kNone) before_space.push_back(previous);
      previous = symbol;
      rest.remove_prefix(next.size);
    }
  }
  before_space_.resize(static_cast<std::size_t>(vocab_size_) + lone_characters_.size());
  for (const TokenId symbol : before_space) before_space_[static_cast<std::size_t>(symbol)] = true;
}

// SentencePiece looks the joined text of two symbols up. A symbol is a character or a token at any time, so every split
// of every token into two of these is a merge, and all splits of one token share its rank.
Expected<std::vector<Merge>> ScoredBpe::merges_of(const std::vector<Piece>& pieces, const Symbols& symbols) {
  std::vector<double> scores;
  scores.reserve(pieces.size());
  for (const Piece& piece : pieces) scores.push_back(piece.score);
  const std::vector<std::uint32_t> ranks = ranks_of(scores);

  std::vector<Merge> merges;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string_view spelling = pieces[i].spelling;
    for (std::size_t cut = first_size(spelling); cut < spelling.size(); cut += first_size(spelling.substr(cut))) {
      const auto left = symbols.find(spelling.substr(0, cut));
      if (left == symbols.end()) continue;
      const auto right = symbols.find(spelling.substr(cut));
      if (right == symbols.end()) continue;
      if (merges.size() == kMergesMax) return fail(bad_input("vocabulary: tokens split in too many ways"));
      merges.push_back({ranks[i], left->second, right->second, pieces[i].id});
    }
  }
  return merges;
}

// An unused token takes part in merging, and then stands for the two symbols it came from: of several splits the one whose
// parts both exist first.
void ScoredBpe::split_unused(const std::vector<Piece>& pieces, const std::vector<Merge>& merges) {
  std::unordered_map<TokenId, std::uint32_t> made_at;  // unused token -> turn at which the better split's parts exist
  for (const Piece& piece : pieces) {
    if (piece.unused) made_at.emplace(piece.id, std::numeric_limits<std::uint32_t>::max());
  }
  if (made_at.empty()) return;
  std::unordered_map<TokenId, std::uint32_t> rank_of;  // by result; characters are there from the start
  for (const Merge& merge : merges) rank_of.emplace(merge.result, merge.rank + 1);
  const auto rank = [&](TokenId symbol) {
    const auto found = rank_of.find(symbol);
    return found == rank_of.end() ? 0U : found->second;
  };
  for (const Merge& merge : merges) {
    const auto unused = made_at.find(merge.result);
    if (unused == made_at.end()) continue;
    const std::uint32_t both = std::max(rank(merge.left), rank(merge.right));
    if (both >= unused->second) continue;
    unused->second = both;
    parts_[merge.result] = {merge.left, merge.right};
  }
}

// No token holds these two characters side by side: nothing merges across, and each side can be merged on its own.
bool ScoredBpe::is_cut(TokenId before, char32_t character) const {
  return character == kSpaceCharacter && !before_space_[static_cast<std::size_t>(before)];
}

void ScoredBpe::encode_piece(std::string_view text, ScoredBpeScratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId>& symbols = scratch.merging.symbols;
  symbols.clear();
  bool after_unknown = false;
  while (!text.empty()) {
    if (const auto whole = user_defined_.longest_prefix(text); whole.size > 0) {
      merge_stretch(scratch, after_unknown, out);
      out.push_back(whole.id);
      after_unknown = false;
      text.remove_prefix(whole.size);
      continue;
    }
    const text::CodePoint next = text::first_code_point(text);
    const TokenId symbol = characters_.find(next.value);
    if (symbol == CharacterSymbols::kNone) {
      merge_stretch(scratch, after_unknown, out);
      fallback_.append(text.substr(0, next.size), after_unknown, out);
    } else {
      if (!symbols.empty() && is_cut(symbols.back(), next.value)) merge_stretch(scratch, after_unknown, out);
      symbols.push_back(symbol);
    }
    text.remove_prefix(next.size);
  }
  merge_stretch(scratch, after_unknown, out);
}

void ScoredBpe::merge_stretch(ScoredBpeScratch& scratch, bool& after_unknown, std::vector<TokenId>& out) const {
  if (scratch.merging.symbols.empty()) return;
  if (lone_characters_.empty() && parts_.empty()) {
    scratch.merging.merge_into(merges_, out);
    after_unknown = false;
  } else {
    scratch.merged.clear();
    scratch.merging.merge_into(merges_, scratch.merged);
    for (const TokenId symbol : scratch.merged) append(symbol, after_unknown, out);
  }
  scratch.merging.symbols.clear();
}

// Each part is shorter than its token, so the depth is at most the number of characters in the longest one.
void ScoredBpe::append(TokenId symbol, bool& after_unknown, std::vector<TokenId>& out) const {
  if (symbol >= vocab_size_) {
    fallback_.append(lone_characters_[static_cast<std::size_t>(symbol - vocab_size_)], after_unknown, out);
  } else if (const auto parts = parts_.find(symbol); parts != parts_.end()) {
    append(parts->second.first, after_unknown, out);
    append(parts->second.second, after_unknown, out);
  } else {
    out.push_back(symbol);
    after_unknown = false;
  }
}

}  // namespace herd::tokenizer
