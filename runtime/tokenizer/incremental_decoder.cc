#include "runtime/tokenizer/incremental_decoder.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {

bool IncrementalDecoder::StopMatcher::advance(char byte) {
  if (text.empty()) return false;
  while (matched > 0 && text[matched] != byte) matched = fallback[matched];
  if (text[matched] == byte) ++matched;
  return matched == text.size();
}

IncrementalDecoder::IncrementalDecoder(Tokenizer tokenizer, std::vector<std::string> stop_strings,
                                       DecoderOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options), begins_(options.begins_text) {
  for (std::string& text : stop_strings) {
    StopMatcher stop;
    stop.fallback.assign(text.size() + 1, 0);
    for (std::size_t length = 2, border = 0; length <= text.size(); ++length) {
      while (border > 0 && text[border] != text[length - 1]) border = stop.fallback[border];
      if (text[border] == text[length - 1]) ++border;
      stop.fallback[length] = border;
    }
    stop.text = std::move(text);
    stops_.push_back(std::move(stop));
  }
}

std::string IncrementalDecoder::push(TokenId id) {
  ++tokens_;
  if (stopped_ || (options_.skip_special && tokenizer_.is_special(id))) return {};
  std::string bytes = std::move(incomplete_);
  incomplete_.clear();
  const std::string_view own = tokenizer_.token_bytes(id);
  if (begins_ && !own.empty()) {
    bytes.append(tokenizer_.opening_bytes(id));
    begins_ = false;
  } else {
    bytes.append(own);
  }
  std::string_view rest = bytes;
  while (!rest.empty() && !stopped_) {
    const text::CodePoint next = text::first_code_point(rest);
    if (next.incomplete) {
      incomplete_ = rest;
      break;
    }
    append(next.valid ? rest.substr(0, next.size) : text::kReplacementUtf8);
    rest.remove_prefix(next.size);
  }
  return release();
}

std::string IncrementalDecoder::flush() {
  if (stopped_) return {};
  if (!incomplete_.empty()) append(text::kReplacementUtf8);
  incomplete_.clear();
  for (StopMatcher& stop : stops_) stop.matched = 0;
  return release();
}

void IncrementalDecoder::append(std::string_view text) {
  for (const char byte : text) {
    unreleased_.push_back(byte);
    for (std::size_t i = 0; i < stops_.size(); ++i) {
      StopMatcher& stop = stops_[i];
      if (!stop.advance(byte)) continue;
      if (tokens_ <= options_.min_tokens) {
        stop.matched = stop.fallback[stop.matched];
        continue;
      }
      if (!stopped_ || stop.text.size() > stops_[*stopped_].text.size()) stopped_ = i;
    }
    if (stopped_) {
      if (!options_.include_stop) unreleased_.resize(unreleased_.size() - stops_[*stopped_].text.size());
      return;
    }
  }
}

std::string IncrementalDecoder::release() {
  std::size_t held = 0;
  if (!stopped_) {
    for (const StopMatcher& stop : stops_) held = std::max(held, stop.matched);
  }
  std::string released = unreleased_.substr(0, unreleased_.size() - held);
  unreleased_.erase(0, released.size());
  return released;
}

}  // namespace herd::tokenizer
