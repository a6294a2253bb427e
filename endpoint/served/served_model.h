#pragma once
// ServedModel: a model as the API shows it, under its names, and with reasons that clients may read. Made from ServedText;
// nothing of it needs a rank.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/served/served_text.h"
#include "runtime/checkpoint/generation_config.h"
#include "endpoint/chat/chat_renderer.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::served {

// What is served, and under which names.
struct ServedModel {
  std::vector<std::string> names;                     // at least one; the first is the default
  std::string root;                                   // where it came from, as /v1/models tells
  std::optional<tokenizer::Tokenizer> tokenizer;      // absent: token ids only
  std::string no_text_reason;                         // why it is absent
  std::optional<chat::ChatRenderer> chat_renderer;  // absent: no chat
  std::string no_chat_reason;                         // then: why
  model::GenerationConfig generation;
  std::int32_t vocab_size = 0;
  std::int64_t max_model_len = 0;                     // prompt + output tokens
};

// The names asked for; when there are none, the model's folder or file.
[[nodiscard]] std::vector<std::string> served_names(const std::vector<std::string>& asked, const std::string& model_path);

// Everything but `max_model_len`, which the caller sets. Reasons name files without their folders: a client
// learns a file's name, not where it lies. `names` is not empty.
[[nodiscard]] ServedModel served_model(const ServedText& text, std::vector<std::string> names);

}  // namespace herd::served
