#include "endpoint/served/served_text.h"

#include <utility>

#include "runtime/tokenizer/text_digest.h"

namespace herd::served {
namespace {

void say(const Say& listener, const std::string& line) {
  if (listener) listener(line);
}

// Added tokens may lie beyond the model's rows: they are known, and refused where a prompt holds one.
void warn_of_added_tokens(const tokenizer::Tokenizer& tokenizer, const model::OpenedModel& model, const Say& warn) {
  const int vocab_size = model.config().vocab_size;
  if (tokenizer.vocab_size() <= static_cast<std::size_t>(vocab_size)) return;
  say(warn, "warning: " + model.files.path + ": the tokenizer has added tokens up to " +
                std::to_string(tokenizer.vocab_size() - 1) + ", the model's vocabulary ends at " +
                std::to_string(vocab_size - 1) + "; prompts that hold one are refused");
}

}  // namespace

Expected<ServedText> open_served_text(const model::OpenedModel& model, const TextOptions& options) {
  const Say& warn = options.warn ? options.warn : options.note;
  ServedText text;
  text.config = model.config();
  text.generation = model.description.generation;
  auto opened = open_tokenizer(model, {options.tokenizer_path, options.tokenizer_version});
  if (!opened) return fail(opened.error());
  text.tokenizer = std::move(opened->tokenizer);
  if (text.tokenizer) {
    warn_of_added_tokens(*text.tokenizer, model, warn);
    text.chat = open_chat(model.description.text, text.tokenizer, options.chat,
                          [&warn](const std::string& line) { say(warn, line); });
    if (!text.chat && !options.chat.template_path.empty()) return fail(text.chat.error());
    text.text_digest = text.tokenizer->digest() + "/" +
                       tokenizer::text_digest({}, text.chat ? text.chat->definition() : model.description.text.chat_template);
  } else {
    text.no_text = opened->refused.ok()
                       ? bad_input("this checkpoint has no tokenizer; give prompts as token ids, or --tokenizer-path")
                       : std::move(opened->refused);
    say(options.note, "no text, token ids only: " + text.no_text.message());
    text.chat = fail(text.no_text);
  }
  auto ends = find_end_ids(model, text.tokenizer, options.tokenizer_path,
                           [&warn](const std::string& line) { say(warn, line); });
  if (!ends) return fail(ends.error());
  text.eos_ids = std::move(*ends);
  return text;
}

}  // namespace herd::served
