#include "endpoint/api/choice_text.h"

#include <algorithm>

namespace herd::api {

using step::FinishReason;

void add_special_stops(const tokenizer::Tokenizer& tokenizer, std::span<const std::string> stop, std::int64_t vocab_size,
                       std::vector<TokenId>& ids) {
  for (const std::string& text : stop) {
    const auto id = tokenizer.find_special(text);
    if (id && *id < vocab_size && std::ranges::count(ids, *id) == 0) ids.push_back(*id);
  }
}

ChoiceText::ChoiceText(const tokenizer::Tokenizer* tokenizer, const ChoiceTextOptions& options)
    : stop_(options.stop), include_stop_(options.include_stop) {
  if (tokenizer == nullptr) return;
  decoder_ = std::make_unique<tokenizer::IncrementalDecoder>(
      *tokenizer, options.stop,
      tokenizer::DecoderOptions{.skip_special = options.skip_special,
                                .include_stop = options.include_stop,
                                .begins_text = false,  // the prompt does
                                .min_tokens = options.min_tokens});
  for (const std::string& text : options.stop)
    if (const auto id = tokenizer->find_special(text)) special_stops_.emplace_back(*id, text);
}

// The text of the id that ended it, when asked for, and which reason that is.
std::string ChoiceText::end_by_id(TokenId token) {
  const auto special = std::ranges::find(special_stops_, token, &std::pair<TokenId, std::string>::first);
  if (special == special_stops_.end()) {
    stop_token_ = token;
    return include_stop_ && decoder_ != nullptr ? decoder_->push(token) : std::string();
  }
  std::string text = decoder_->flush();
  if (decoder_->stopped()) return text;  // what was held back ended in another stop string
  stop_string_ = special->second;
  return include_stop_ ? text + special->second : text;
}

std::string ChoiceText::take(const step::TokenDelta& delta) {
  if (finish_ != FinishReason::kNone) return {};
  finish_ = delta.finish;
  std::string text;
  if (delta.has_token && delta.finish == FinishReason::kStop) text = end_by_id(delta.token.token);
  else if (delta.has_token && decoder_ != nullptr) text = decoder_->push(delta.token.token);
  if (decoder_ == nullptr || stop_string_) return text;
  if (finish_ != FinishReason::kNone && !decoder_->stopped()) text += decoder_->flush();
  if (const auto stopped = decoder_->stopped()) {
    finish_ = FinishReason::kStop;
    stop_string_ = stop_[*stopped];
  }
  return text;
}

}  // namespace herd::api
