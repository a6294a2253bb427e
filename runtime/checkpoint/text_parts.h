#pragma once
// Where the text side of a checkpoint lies, and what its chat template finds: the template's text and the texts of the
// special tokens. What cannot be read here stops chat, not the checkpoint: it is kept in chat_problem.

#include <string>

#include "runtime/checkpoint/checkpoint.h"

namespace herd::model {

// Of a Hugging Face directory: chat_template.jinja, else the key in tokenizer_config.json or chat_template.json (one
// template, or a list of named ones with one called default); special tokens from tokenizer_config.json, what it lacks
// from special_tokens_map.json. Both files are read once: the ends they declare are kept as well.
[[nodiscard]] TextParts read_text_parts(const std::string& directory);

// Of a GGUF file: its keys, added to `text`.
void read_text_parts(const GgufFile& file, TextParts& text);

}  // namespace herd::model
