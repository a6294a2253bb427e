#include "runtime/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/unicode/properties.h"

namespace herd::tokenizer {
namespace {

bool is_word(char32_t point) {
  return unicode::words().contains(point) || point == 0x200C || point == 0x200D;  // the joiners: as in Rust's \w
}

std::size_t begin_of_last_character(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

// White space that a token with strip_left takes from the end of `text`, in bytes; likewise from its front.
std::size_t space_at_end(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = begin_of_last_character(text.substr(0, end));
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

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const std::string_view before = text.substr(0, begin);
  const std::string_view after = text.substr(end);
  if (!before.empty() && is_word(text::first_code_point(before.substr(begin_of_last_character(before))).value)) return false;
  return after.empty() || !is_word(text::first_code_point(after).value);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(),
                            [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; }),
                tokens_.end());
  for (const AddedToken& token : tokens_) first_byte_.set(static_cast<unsigned char>(token.content.front()));
}

// All matches come first, without their white space; then each takes what it strips. What one took may hold the next.
std::vector<TextPart> AddedTokenMatcher::cut(std::string_view text, const SpecialRule& rule) const {
  std::vector<TextPart> parts;
  std::span<const text::ByteRange> foreign = rule.foreign;
  std::size_t done = 0;
  std::size_t from = 0;
  std::size_t space_begin = 0;  // white space up to …
  std::size_t space_end = 0;    // … here
  while (const auto match = find(text, from, foreign)) {
    from = match->end;
    const AddedToken& token = *match->token;
    if (token.special && !rule.parse) continue;
    if (token.single_word && !stands_alone(text, match->begin, match->end)) continue;
    std::size_t begin = match->begin;
    std::size_t end = match->end;
    if (token.strip_left) begin = begin > done ? begin - space_at_end(text.substr(done, begin - done)) : done;
    if (token.strip_right) {
      // Tokens in a long run of white space each take the rest of it: it is measured once.
      if (end < space_begin || end > space_end) space_end = end + space_at_front(text.substr(end));
      space_begin = end;
      end = space_end;
    }
    if (begin > done) parts.push_back({done, begin, std::nullopt});
    parts.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), std::nullopt});
  return parts;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text, std::size_t from,
                                                                std::span<const text::ByteRange>& foreign) const {
  if (tokens_.empty()) return std::nullopt;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (!first_byte_.test(static_cast<unsigned char>(text[i]))) continue;
    while (!foreign.empty() && foreign.front().end <= i) foreign = foreign.subspan(1);
    const std::size_t own_end = foreign.empty() ? text.size() : std::max(foreign.front().begin, i);
    if (const AddedToken* token = longest_at_front(text.substr(i), own_end - i)) {
      return Match{i, i + token->content.size(), token};
    }
  }
  return std::nullopt;
}

// Narrows the range of tokens that share the text's first `depth` bytes, byte by byte. A token that ends at `depth`
// is the first of its range.
const AddedToken* AddedTokenMatcher::longest_at_front(std::string_view text, std::size_t special_size) const {
  const AddedToken* longest = nullptr;
  auto begin = tokens_.begin();
  auto end = tokens_.end();
  for (std::size_t depth = 0; depth < text.size(); ++depth) {
    const auto wanted = static_cast<unsigned char>(text[depth]);
    const auto byte = [depth](const AddedToken& t) {  // -1: the token is shorter
      return depth < t.content.size() ? static_cast<int>(static_cast<unsigned char>(t.content[depth])) : -1;
    };
    begin = std::partition_point(begin, end, [&](const AddedToken& t) { return byte(t) < wanted; });
    end = std::partition_point(begin, end, [&](const AddedToken& t) { return byte(t) <= wanted; });
    if (begin == end) break;
    if (begin->content.size() == depth + 1 && (!begin->special || depth < special_size)) longest = &*begin;
  }
  return longest;
}

}  // namespace herd::tokenizer
