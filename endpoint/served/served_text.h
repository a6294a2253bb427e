#pragma once
// ServedText: what is served, as far as words go: config, generation defaults, tokenizer, chat, end ids. A gateway needs
// this and nothing of the weights; ranks see ids and need nothing of this.

#include <optional>
#include <string>
#include <vector>

#include "endpoint/served/model_text.h"
#include "kernels/status.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/ids.h"
#include "endpoint/chat/chat_renderer.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::served {

struct TextOptions {
  std::string tokenizer_path;  // tokenizer.json or tokenizer.model elsewhere
  std::string tokenizer_version = {};  // see TokenizerSettings
  ChatSettings chat;
  // What a person should know, a line each; may be empty. Warnings are not silenced with the notes.
  Say note;
  Say warn;
};

// Value.
struct ServedText {
  model::LlamaConfig config;
  model::GenerationConfig generation;
  // Absent for a checkpoint without a tokenizer, or with one that herd cannot use: token ids still work.
  std::optional<tokenizer::Tokenizer> tokenizer;
  Status no_text;  // why it is absent, for whoever asks for text; ok while it is there
  // How conversations become prompts, or why they do not.
  Expected<chat::ChatRenderer> chat = fail(bad_input("no model is open"));
  std::vector<TokenId> eos_ids;  // that end a sequence, see find_end_ids()
  // Names tokenizer, chat template and chat settings: two processes with the same one make the same ids of the same words.
  // Empty: no tokenizer.
  std::string text_digest;
};

// Not ok only for what is damaged or was asked for and cannot be had; what the checkpoint lacks is kept in the value.
[[nodiscard]] Expected<ServedText> open_served_text(const model::OpenedModel& model, const TextOptions& options);

}  // namespace herd::served
