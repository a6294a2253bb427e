#pragma once
// The tokenizer inside a GGUF file, as the plain values its reader found (runtime/model reads the file; this knows
// what the values mean): model "gpt2" is byte-level BPE, "llama" SentencePiece's BPE.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// tokenizer.ggml.token_type. A plain number in the file.
enum GgufTokenType : std::int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserToken = 4,
  kUnusedToken = 5,
  kByteToken = 6,
};

// Field <- metadata key, "tokenizer.ggml." in front where no other prefix stands.
struct GgufVocabulary {
  std::string model;                       // model: "gpt2" or "llama"
  std::string pre;                         // pre, of gpt2: how text is cut before merging
  std::vector<std::string> tokens;         // tokens, by id
  std::vector<std::int32_t> token_types;   // token_type: GgufTokenType each; empty: all are normal
  std::vector<std::string> merges;         // merges, of gpt2: "left right", by rank
  std::vector<float> scores;               // scores, of llama: by id
  std::optional<TokenId> bos_id;           // bos_token_id
  std::optional<TokenId> eos_id;           // eos_token_id
  std::optional<TokenId> eot_id;           // eot_token_id
  std::optional<TokenId> unknown_id;       // unknown_token_id
  std::optional<bool> add_bos;             // add_bos_token; absent: as `pre` implies, of llama true
  std::optional<bool> add_eos;             // add_eos_token; absent: false
  std::optional<bool> add_space_prefix;    // add_space_prefix, of llama; absent: true
  std::optional<bool> remove_extra_whitespaces;  // remove_extra_whitespaces, of llama; absent: false
  std::string chat_template;               // tokenizer.chat_template; empty: none
  bool operator==(const GgufVocabulary&) const = default;
};

// tokenizer.ggml.model of a file without a vocabulary; "no_vocab" means the same.
inline constexpr const char* kNoVocabulary = "none";

// Messages name the metadata key; the caller puts the file's name in front.
[[nodiscard]] Expected<Tokenizer> tokenizer_from_vocabulary(const GgufVocabulary& vocabulary);

// What of it Tokenizer::build() is given.
[[nodiscard]] Expected<TokenizerDefinition> vocabulary_definition(const GgufVocabulary& vocabulary);

}  // namespace herd::tokenizer
