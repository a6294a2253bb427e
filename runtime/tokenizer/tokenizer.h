#pragma once
// Text <-> token ids. Loaders: tokenizer_json.h (Hugging Face), tokenizer_model.h (SentencePiece, Meta's tiktoken),
// gguf_vocabulary.h (GGUF). Equal to HF `tokenizers`, to `sentencepiece` and to tiktoken on every valid text; text that is
// not UTF-8 is repaired first (U+FFFD), which callers that must refuse it find out with valid_utf8().

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/text/marked_text.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

struct EncodeOptions {
  bool add_bos = false;        // add what this tokenizer puts around a text: BOS for Llama 3, nothing for SmolLM2
  bool parse_special = false;  // control tokens spelled out in the text become their ids. Never for text of a user
  // Ascending and disjoint bytes of the text that no control token may be spelled with, whatever parse_special says.
  std::span<const text::ByteRange> foreign = {};
};

// Immutable and cheap to copy (a shared pointer); every method may run on any number of threads.
class Tokenizer {
 public:
  // kBadInput when the definition contradicts itself. No merge may build a control token: text encoded with
  // parse_special false contains none (unless the file itself names one as its unknown token).
  [[nodiscard]] static Expected<Tokenizer> build(TokenizerDefinition definition);
  // The same of what a loader read, or its error; `name` stands for the file in messages.
  [[nodiscard]] static Expected<Tokenizer> build(Expected<TokenizerDefinition> definition, std::string_view name);

  // Time O(n log n) for every text.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;

  // A whole text: the bytes of all tokens one after the other, the first one's as opening_bytes(), invalid parts as U+FFFD.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  // Raw bytes, not always valid UTF-8; special tokens: their text. Empty for an id outside the vocabulary (models
  // may have more rows than their tokenizer has tokens). Valid as long as any copy of this tokenizer.
  [[nodiscard]] std::string_view token_bytes(TokenId id) const;
  // The same of a token that a whole text begins with: without the space that encode() puts in front of a text.
  [[nodiscard]] std::string opening_bytes(TokenId id) const;
  [[nodiscard]] bool is_special(TokenId id) const;
  [[nodiscard]] std::optional<TokenId> find_special(std::string_view text) const;

  [[nodiscard]] std::size_t vocab_size() const;  // ids are [0, vocab_size)
  [[nodiscard]] std::optional<TokenId> bos_id() const;
  // 1 + the greatest id of a token that is not added: the rows a model of this vocabulary has at least.
  [[nodiscard]] std::size_t ordinary_size() const;
  // Ids that end a turn or a text, ascending: what the file declares, and control tokens of well-known names
  // (is_end_name).
  [[nodiscard]] std::span<const TokenId> eos_ids() const;

  // text_digest() of what it was built from, without a chat template.
  [[nodiscard]] const std::string& digest() const;

  // Whether `ids` begin with the token twice that this tokenizer puts before a text: nearly always a mistake.
  [[nodiscard]] bool begins_twice(std::span<const TokenId> ids) const;
  // kUsage names the first id that the model has no row for, as the text that became it spells it.
  [[nodiscard]] Status check_rows(std::span<const TokenId> ids, int vocab_size) const;

  [[nodiscard]] static bool valid_utf8(std::string_view text);

 private:
  struct Tables;
  struct Encoding;  // one call of encode()

  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

  std::shared_ptr<const Tables> tables_;
};

// Whether a control token of this name ends a turn or a text: <|eot_id|>, <|im_end|>, </s>, …
[[nodiscard]] bool is_end_name(std::string_view name);

}  // namespace herd::tokenizer
