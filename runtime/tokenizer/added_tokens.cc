#include "runtime/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

namespace herd::tokenizer {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (const AddedToken& token : tokens_) first_byte_.set(static_cast<unsigned char>(token.content.front()));
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text, std::size_t from) const {
  if (tokens_.empty()) return std::nullopt;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (!first_byte_.test(static_cast<unsigned char>(text[i]))) continue;
    if (const AddedToken* token = longest_at_front(text.substr(i))) {
      return Match{i, i + token->content.size(), token};
    }
  }
  return std::nullopt;
}

// Narrows the range of tokens that share the text's first `depth` bytes, byte by byte. A token that ends at `depth`
// is the first of its range.
const AddedToken* AddedTokenMatcher::longest_at_front(std::string_view text) const {
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
    if (begin->content.size() == depth + 1) longest = &*begin;
  }
  return longest;
}

}  // namespace herd::tokenizer
