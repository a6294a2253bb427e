#pragma once
// PoisonList: prompts that killed ranks, and are not tried again for a while: whoever sends one again would kill more. Of one gateway:
// another learns it the same way, at the price of two ranks. Pure.

#include <cstddef>
#include <deque>
#include <span>

#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"
#include "runtime/step/submission.h"

namespace herd::gateway {

class PoisonList {
 public:
  static constexpr double kSeconds = 600;
  static constexpr std::size_t kPromptsMax = 1024;  // beyond it the oldest is forgotten

  // Names a prompt by its tokens, whatever is asked of it: how it is sampled comes after what was fatal.
  [[nodiscard]] static kv::BlockHash name_of(std::span<const TokenId> prompt);

  void add(const kv::BlockHash& prompt, Instant now);
  // While the list is empty, which is as good as always, no prompt is read for it.
  [[nodiscard]] bool holds(std::span<const TokenId> prompt, Instant now);
  [[nodiscard]] bool holds_prompt_of(const step::Submission& choice, Instant now) {
    return holds(std::span(choice.tokens).first(choice.prompt_tokens), now);
  }

 private:
  struct Entry {
    kv::BlockHash prompt;
    Instant until;
  };
  [[nodiscard]] bool holds(const kv::BlockHash& prompt) const;
  void forget(Instant now);
  std::deque<Entry> entries_;  // oldest first
};

}  // namespace herd::gateway
