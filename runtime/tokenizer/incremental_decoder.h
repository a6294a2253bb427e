#pragma once
// Token ids of one stream, one by one -> pieces of text that may be shown. Never shows half a character, and never
// text that may turn out to be the beginning of a stop string. The same ids give the same pieces: after a failover
// the state is rebuilt by pushing them again.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

struct DecoderOptions {
  bool skip_special = true;   // special tokens contribute no text
  bool include_stop = false;  // the text ends with the stop string instead of before it
  bool begins_text = false;   // the tokens are a whole text, else they continue one: what Tokenizer::decode() drops in front
  std::uint32_t min_tokens = 0;  // a stop string counts when a token behind so many completes it; one before that never
};

// All pieces plus flush() = Tokenizer::decode() of all ids (of those that continue a text: with the space that it drops in
// front), cut at the stop string that is complete first behind the tokens of the minimum (at the same byte: the longest).
// Held back: at most 3 bytes of an incomplete character, and the longest end of the text that begins a stop string. Time
// per token is linear in its bytes times the number of stop strings.
class IncrementalDecoder {
 public:
  // Stop strings are valid UTF-8; empty ones never match.
  IncrementalDecoder(Tokenizer tokenizer, std::vector<std::string> stop_strings, DecoderOptions options = {});

  // Text that this token released, valid UTF-8, often empty. Nothing after a stop.
  [[nodiscard]] std::string push(TokenId id);
  // The stream ended without a stop string: what was held back, an incomplete character as U+FFFD. (It may complete
  // a stop string that contains U+FFFD.) Call once; no push() after it.
  [[nodiscard]] std::string flush();

  // Index of the stop string that ended the text.
  [[nodiscard]] std::optional<std::size_t> stopped() const { return stopped_; }
  // Whole characters that push() has taken and neither returned nor dropped: the possible beginning of a stop string.
  // Valid until the next call.
  [[nodiscard]] std::string_view held_text() const { return unreleased_; }
  // The same in bytes, with those of an incomplete character.
  [[nodiscard]] std::size_t held_bytes() const { return incomplete_.size() + unreleased_.size(); }

 private:
  // Knuth, Morris, Pratt 1977: `matched` = longest prefix of `text` that ends the stream's text so far.
  struct StopMatcher {
    std::string text;
    std::vector<std::size_t> fallback;  // by length of a matched prefix: its longest proper border
    std::size_t matched = 0;

    bool advance(char byte);  // true: complete
  };

  void append(std::string_view text);  // valid UTF-8
  [[nodiscard]] std::string release();

  Tokenizer tokenizer_;
  DecoderOptions options_;
  std::vector<StopMatcher> stops_;
  bool begins_ = false;     // no token has had text so far, and the first one that has begins a text
  std::string incomplete_;  // start of a character, at most 3 bytes
  std::string unreleased_;  // valid text not yet returned
  std::uint64_t tokens_ = 0;  // pushed
  std::optional<std::size_t> stopped_;
};

}  // namespace herd::tokenizer
