#pragma once
// What a GGUF file says of a model beside its weights: hyperparameters, vocabulary, chat templates, sampling defaults. The keys
// are those of llama.cpp's converters (gguf-py, constants.py); what they cannot say exactly is said again under keys that begin
// with "herd.", which only this reader knows.

#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_head.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::model {

// Of a Hugging Face folder. `definition`: of its tokenizer; null: it has none, and the file says so. `unsaid` hears of what the
// file will not say, a sentence each. kBadInput: GGUF cannot hold the tokenizer.
[[nodiscard]] Status state_model(const ModelDescription& model, const std::string& folder, const tokenizer::TokenizerDefinition* definition,
                                 GgufHead& head, std::vector<std::string>& unsaid);

// Of a GGUF file: its own keys, but for those of the file itself (parts, alignment, encoding). `has_divisors`: RoPE's divisors are
// written, which hold linear scaling as well.
void restate_model(const GgufFile& file, bool has_divisors, GgufHead& head);

}  // namespace herd::model
