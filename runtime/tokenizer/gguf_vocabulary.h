#pragma once
// The tokenizer inside a GGUF file, as the plain values its reader found (runtime/model reads the file; this knows
// what the values mean). Byte-level BPE only: model "gpt2".

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// Field <- metadata key, "tokenizer.ggml." in front where no other prefix stands.
struct GgufVocabulary {
  std::string model;                       // model: "gpt2" is byte-level BPE
  std::string pre;                         // pre: how text is cut before merging
  std::vector<std::string> tokens;         // tokens, by id
  std::vector<std::int32_t> token_types;   // token_type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;         // merges: "left right", by rank
  std::optional<TokenId> bos_id;           // bos_token_id
  std::optional<TokenId> eos_id;           // eos_token_id
  std::optional<TokenId> eot_id;           // eot_token_id
  std::optional<bool> add_bos;             // add_bos_token; absent: as `pre` implies
  std::string chat_template;               // tokenizer.chat_template; empty: none
  bool operator==(const GgufVocabulary&) const = default;
};

// Messages name the metadata key; the caller puts the file's name in front.
[[nodiscard]] Expected<Tokenizer> tokenizer_from_vocabulary(const GgufVocabulary& vocabulary);

}  // namespace herd::tokenizer
