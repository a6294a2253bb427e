#pragma once
// ChoiceText: the deltas of one sequence -> what a reader of its text sees, and how it ended. Decides stop strings; the
// id that ends a sequence shows no text. The same for `herd generate` and for HTTP. Pure: the same deltas give the same
// pieces, so replaying them rebuilds it.
//
// Stop strings are looked for in the text that is shown. One that is a special token's text would never be found where
// special tokens are skipped: the sequence is made to end by that id, add_special_stops(), and the string is the reason.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/step/submission.h"
#include "runtime/tokenizer/incremental_decoder.h"

namespace herd::api {

struct ChoiceTextOptions {
  std::vector<std::string> stop;
  bool include_stop = false;   // the text ends with the stop string, or the text of the id that ended it
  bool skip_special = true;
  std::uint32_t min_tokens = 0;  // stop strings count behind so many tokens
};

// Adds to `ids`, SamplingParams.stop_token_ids, those of the stop strings that are one special token each. An id beyond
// the model's `vocab_size` rows never comes, and stays out.
void add_special_stops(const tokenizer::Tokenizer& tokenizer, std::span<const std::string> stop, std::int64_t vocab_size,
                       std::vector<TokenId>& ids);

class ChoiceText {
 public:
  // `tokenizer` null: token ids only, no text.
  ChoiceText(const tokenizer::Tokenizer* tokenizer, const ChoiceTextOptions& options);

  // Text this delta released, valid UTF-8, often empty; all that was held back when it is the last one. Nothing after
  // the end.
  [[nodiscard]] std::string take(const step::TokenDelta& delta);

  // Text of the tokens taken that take() has not returned, because a stop string may begin with it. Valid until the next
  // take().
  [[nodiscard]] std::string_view held_text() const { return decoder_ ? decoder_->held_text() : std::string_view{}; }

  // kNone while it goes on. A stop string ends it before the replica knows: `ended_by_stop_string` then asks the caller to
  // abort the sequence.
  [[nodiscard]] step::FinishReason finish() const { return finish_; }
  [[nodiscard]] bool ended_by_stop_string() const { return stop_string_.has_value(); }
  [[nodiscard]] const std::optional<std::string>& stop_string() const { return stop_string_; }
  // The id that ended it, when one did that is no stop string.
  [[nodiscard]] std::optional<TokenId> stop_token() const { return stop_token_; }

 private:
  [[nodiscard]] std::string end_by_id(TokenId token);

  std::vector<std::string> stop_;
  std::vector<std::pair<TokenId, std::string>> special_stops_;
  bool include_stop_;
  std::unique_ptr<tokenizer::IncrementalDecoder> decoder_;
  step::FinishReason finish_ = step::FinishReason::kNone;
  std::optional<std::string> stop_string_;
  std::optional<TokenId> stop_token_;
};

}  // namespace herd::api
