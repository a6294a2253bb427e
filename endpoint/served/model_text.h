#pragma once
// The parts of a checkpoint's text side, opened one by one: its tokenizer, how its conversations become prompts, which ids
// end a sequence. Each can be absent without harm to the others; served_text.h puts them together.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "endpoint/served/tokenizer_settings.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/ids.h"
#include "endpoint/chat/chat_renderer.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::served {

// Hears a line for a person.
using Say = std::function<void(const std::string&)>;

// A checkpoint's tokenizer, or why there is none.
struct OpenedTokenizer {
  std::optional<tokenizer::Tokenizer> tokenizer;
  Status refused;  // what herd cannot use; ok when the checkpoint has no tokenizer at all
};

// The tokenizer a checkpoint has, or the one that `settings` name. A definition that herd cannot use costs the text only; a
// file that cannot be read, or is no JSON at all, is damaged and an error, as is anything wrong with a path, which was
// asked for. Messages name the model.
[[nodiscard]] Expected<OpenedTokenizer> open_tokenizer(const model::OpenedModel& model, const TokenizerSettings& settings);

// What the tokenizer files of a Hugging Face folder define, for who writes the checkpoint in another format; nothing where it has
// none. Of a tokenizer.json that merges characters and a tokenizer.model beside it, the one with scores. The errors are those of
// the files.
[[nodiscard]] Expected<std::optional<tokenizer::TokenizerDefinition>> folder_tokenizer(const model::OpenedModel& model);

// What a person says about chats. Gateways and nodes of a cluster have the same.
struct ChatSettings {
  std::string format = "auto";      // a built-in format; "auto": none is named
  std::string template_path;        // a template instead of the checkpoint's; empty: none
  std::string date;                 // what templates are told instead of the time, see chat_clock.h; empty: nothing
  bool special_in_content = false;  // messages may spell control tokens
};

// How a checkpoint's conversations become prompts: as its chat template says, or as `settings` do instead, which `warn` then
// hears of. Not an error of the checkpoint: whoever chats shows it.
[[nodiscard]] Expected<chat::ChatRenderer> open_chat(const model::TextParts& text,
                                                     const std::optional<tokenizer::Tokenizer>& tokenizer,
                                                     const ChatSettings& settings, const Say& warn);

// Ids that end a sequence, of chats and plain text alike: all that generation_config.json, config.json, GGUF's keys,
// tokenizer_config.json or special_tokens_map.json (also those beside `tokenizer_path`) name, and the control tokens of
// well-known names. `warn` hears of ids beyond the vocabulary and of files that cannot be read. kBadInput: more ids than
// a submission may carry.
[[nodiscard]] Expected<std::vector<TokenId>> find_end_ids(const model::OpenedModel& model,
                                                          const std::optional<tokenizer::Tokenizer>& tokenizer,
                                                          const std::string& tokenizer_path, const Say& warn);

}  // namespace herd::served
