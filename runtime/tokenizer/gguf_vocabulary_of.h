#pragma once
// The other way round: a tokenizer as a GGUF file states it. GGUF has a name for how text is cut, not the patterns, and no
// place for much that a tokenizer.json can say; what it cannot hold is refused or, where texts nearly never differ, told.

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/gguf_vocabulary.h"

namespace herd::tokenizer {

struct StatedVocabulary {
  GgufVocabulary vocabulary;         // without eot_id and chat_template
  std::vector<std::string> unsaid;  // what the file will not say, a sentence each
};

// `rows`: of the model's embedding; ids from the vocabulary's end on become tokens that no text has. kBadInput: GGUF cannot
// hold the tokenizer, or it has more tokens than rows.
[[nodiscard]] Expected<StatedVocabulary> gguf_vocabulary_of(const TokenizerDefinition& definition, std::size_t rows);

}  // namespace herd::tokenizer
