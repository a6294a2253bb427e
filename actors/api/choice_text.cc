#include "actors/api/choice_text.h"

namespace herd::api {

using scheduler::FinishReason;

ChoiceText::ChoiceText(const tokenizer::Tokenizer* tokenizer, const ChoiceTextOptions& options)
    : stop_(options.stop), include_stop_(options.include_stop) {
  if (tokenizer == nullptr) return;
  decoder_ = std::make_unique<tokenizer::IncrementalDecoder>(
      *tokenizer, options.stop, tokenizer::DecoderOptions{options.skip_special, options.include_stop});
}

std::string ChoiceText::take(const scheduler::TokenDelta& delta) {
  if (finish_ != FinishReason::kNone) return {};
  finish_ = delta.finish;
  const bool ends_by_id = delta.has_token && delta.finish == FinishReason::kStop;
  if (ends_by_id) stop_token_ = delta.token.token;
  if (decoder_ == nullptr) return {};
  std::string text;
  if (delta.has_token && (!ends_by_id || include_stop_)) text = decoder_->push(delta.token.token);
  if (finish_ != FinishReason::kNone && !decoder_->stopped()) text += decoder_->flush();
  if (const auto stopped = decoder_->stopped()) {
    finish_ = FinishReason::kStop;
    stop_string_ = stop_[*stopped];
  }
  return text;
}

}  // namespace herd::api
