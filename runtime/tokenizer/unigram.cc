#include "runtime/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/added_tokens.h"

namespace herd::tokenizer {
namespace {

// How much less than the least likely token a character without one scores.
constexpr float kUnknownPenalty = 10.0F;

}  // namespace

Expected<Unigram> Unigram::build(const TokenizerDefinition& definition) {
  Unigram model;
  model.fallback_ = FallbackTokens(definition);
  model.sums_in_double_ = definition.sums_in_double;
  model.scores_.resize(definition.tokens.size());
  model.user_defined_.resize(definition.tokens.size());
  double score_min = std::numeric_limits<float>::max();
  model.score_max_ = std::numeric_limits<float>::min();  // as in SentencePiece: above zero, though scores are below
  std::vector<PieceTrie::Entry> entries;
  std::unordered_set<std::string_view> spellings;
  for (std::size_t i = 0; i < definition.tokens.size(); ++i) {
    const VocabularyToken& token = definition.tokens[i];
    const bool user_defined = token.kind == TokenKind::kUserDefined;
    if (model.sums_in_double_) score_min = std::min(score_min, token.score);  // of all tokens there
    if (token.kind != TokenKind::kOrdinary && !user_defined) continue;
    const std::string_view spelling = spelling_of(token);
    const std::string where = "vocabulary: token " + std::to_string(i) + ": ";
    if (spelling.empty()) return fail(bad_input(where + "empty"));
    if (!text::is_valid_utf8(spelling)) return fail(bad_input(where + "not UTF-8"));
    if (spelling.size() > kAddedTokenBytesMax) return fail(bad_input(where + "too long"));
    if (!std::isfinite(token.score)) return fail(bad_input(where + "its score is not a number"));
    if (!spellings.insert(spelling).second) return fail(bad_input(where + "'" + std::string(spelling) + "' occurs twice"));
    entries.push_back({spelling, static_cast<TokenId>(i)});
    model.scores_[i] = token.score;
    model.user_defined_[i] = user_defined;
    if (user_defined) continue;
    score_min = std::min(score_min, token.score);
    model.score_max_ = std::max(model.score_max_, static_cast<float>(token.score));
  }
  model.pieces_ = PieceTrie(std::move(entries));
  model.unknown_score_ = model.rounded(score_min - kUnknownPenalty);
  return model;
}

double Unigram::score(TokenId id, std::size_t size) const {
  const auto index = static_cast<std::size_t>(id);
  if (!user_defined_[index]) return scores_[index];
  // SentencePiece's bonus: hardly below zero, so no sum of other tokens is greater.
  return static_cast<double>(static_cast<float>(size) * score_max_ - 0.1F);
}

// Adds the tokens that begin at the place `at` of the stretch, which is the front of `text`.
void Unigram::extend(std::string_view text, std::size_t at, UnigramScratch& scratch) const {
  const std::string_view rest = text.substr(at);
  const std::size_t character = text::first_code_point(rest).size;
  const double so_far = scratch.ends[at].sum;
  const auto offer = [&](std::size_t size, double score, TokenId id) {
    if (at + size >= scratch.ends.size()) scratch.ends.resize(at + size + 1);
    UnigramScratch::End& end = scratch.ends[at + size];
    const double sum = rounded(score + so_far);
    if (end.begin == UnigramScratch::kNowhere || sum > end.sum) end = {sum, at, id};
  };
  bool has_character = false;
  pieces_.for_each_prefix(rest, [&](std::size_t size, TokenId id) {
    offer(size, score(id, size), id);
    has_character = has_character || size == character;
  });
  if (!has_character) offer(character, unknown_score_, UnigramScratch::kUnknown);
}

void Unigram::encode_piece(std::string_view text, UnigramScratch& scratch, std::vector<TokenId>& out) const {
  bool after_unknown = false;
  scratch.ends.assign(1, {});
  std::size_t at = 0;
  while (at < text.size()) {
    // All ways meet here, so what lies before is decided. The sum goes on: where it stands decides how it is rounded.
    if (at > 0 && at + 1 == scratch.ends.size()) {
      append_path(text.substr(0, at), scratch, after_unknown, out);
      const double sum = scratch.ends.back().sum;
      scratch.ends.assign(1, {sum, UnigramScratch::kNowhere, 0});
      text.remove_prefix(at);
      at = 0;
    }
    extend(text, at, scratch);
    at += text::first_code_point(text.substr(at)).size;
  }
  append_path(text, scratch, after_unknown, out);
}

// The best way through the stretch: read from its end, appended from its front.
void Unigram::append_path(std::string_view stretch, UnigramScratch& scratch, bool& after_unknown,
                          std::vector<TokenId>& out) const {
  scratch.path.clear();
  for (std::size_t end = stretch.size(); end > 0; end = scratch.ends[end].begin) scratch.path.push_back(end);
  for (std::size_t i = scratch.path.size(); i-- > 0;) {
    const UnigramScratch::End& end = scratch.ends[scratch.path[i]];
    if (end.id == UnigramScratch::kUnknown) {
      fallback_.append(stretch.substr(end.begin, scratch.path[i] - end.begin), after_unknown, out);
    } else {
      out.push_back(end.id);
      after_unknown = false;
    }
  }
}

}  // namespace herd::tokenizer
