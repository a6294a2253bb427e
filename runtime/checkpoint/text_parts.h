#pragma once
// Where the text side of a checkpoint lies, and what its chat template finds: the template's text and the texts of the
// special tokens. What cannot be read here stops chat, not the checkpoint: it is kept in chat_problem.

#include <string>

#include "runtime/checkpoint/checkpoint.h"

namespace herd::model {

// Reads a Hugging Face directory. Templates are those of the first source that has any: chat_template.jinja with
// additional_chat_templates/NAME.jinja, chat_template of tokenizer_config.json, of chat_template.json (a text, or named
// ones of which default is the usual one). Tokens: see declared_tokens.h. Each file is read once, for the ends it declares
// as well.
[[nodiscard]] TextParts read_text_parts(const std::string& directory);

// Reads a GGUF file: tokenizer.chat_template and tokenizer.chat_template.NAME, special tokens by their ids, added to `text`.
void read_text_parts(const GgufFile& file, TextParts& text);

}  // namespace herd::model
