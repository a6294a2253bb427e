#pragma once
// Tokens that are found in the text before it is split and merged: control tokens such as <|eot_id|>, and the
// tokens users added to a vocabulary. Leftmost match, the longest one on ties, as HF's AddedVocabulary.

#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ids.h"

namespace herd::tokenizer {

struct AddedToken {
  TokenId id = 0;
  std::string content;      // not empty
  bool special = true;      // control token: matched only where the caller allows it, dropped by skip_special
  bool strip_left = false;  // the match takes the white space before it too
  bool strip_right = false;
  bool normalized = false;  // searched for after the tokens that are not
  bool operator==(const AddedToken&) const = default;
};

inline constexpr std::size_t kAddedTokenBytesMax = 1024;  // bounds the work at one place of the text

class AddedTokenMatcher {
 public:
  struct Match {
    std::size_t begin = 0;  // of the content itself; strips are the caller's
    std::size_t end = 0;
    const AddedToken* token = nullptr;
  };

  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);  // contents differ from each other

  // The first match that begins at or after `from`.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from) const;
  [[nodiscard]] bool empty() const { return tokens_.empty(); }

 private:
  [[nodiscard]] const AddedToken* longest_at_front(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // sorted by content, bytewise
  std::bitset<256> first_byte_;
};

}  // namespace herd::tokenizer
