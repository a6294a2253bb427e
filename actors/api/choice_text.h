#pragma once
// ChoiceText: the deltas of one sequence -> what a reader of its text sees, and how it ended. Decides stop strings; the
// id that ends a sequence shows no text. The same for `herd generate` and for HTTP. Pure: the same deltas give the same
// pieces, so replaying them rebuilds it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/scheduler/submission.h"
#include "runtime/tokenizer/incremental_decoder.h"

namespace herd::api {

struct ChoiceTextOptions {
  std::vector<std::string> stop;
  bool include_stop = false;   // the text ends with the stop string, or the text of the id that ended it
  bool skip_special = true;
};

class ChoiceText {
 public:
  // `tokenizer` null: token ids only, no text.
  ChoiceText(const tokenizer::Tokenizer* tokenizer, const ChoiceTextOptions& options);

  // Text this delta released, valid UTF-8, often empty; all that was held back when it is the last one. Nothing after
  // the end.
  [[nodiscard]] std::string take(const scheduler::TokenDelta& delta);

  // kNone while it goes on. A stop string ends it before the replica knows: `ended_by_stop_string` then asks the caller to
  // abort the sequence.
  [[nodiscard]] scheduler::FinishReason finish() const { return finish_; }
  [[nodiscard]] bool ended_by_stop_string() const { return stop_string_.has_value(); }
  [[nodiscard]] const std::optional<std::string>& stop_string() const { return stop_string_; }
  // The id that ended it, when one did.
  [[nodiscard]] std::optional<TokenId> stop_token() const { return stop_token_; }

 private:
  std::vector<std::string> stop_;
  bool include_stop_;
  std::unique_ptr<tokenizer::IncrementalDecoder> decoder_;
  scheduler::FinishReason finish_ = scheduler::FinishReason::kNone;
  std::optional<std::string> stop_string_;
  std::optional<TokenId> stop_token_;
};

}  // namespace herd::api
