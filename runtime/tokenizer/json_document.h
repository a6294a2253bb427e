#pragma once
// A tokenizer.json, parsed: a tree of values, but for the two lists that are nearly all of it, the vocabulary and the merges
// of a BPE model. These go from the parser into tables of views into the text.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/spelled_merges.h"
#include "runtime/tokenizer/token_map.h"

namespace boost::json {
class object;
}

namespace herd::tokenizer {

// A member of model.vocab.
struct SpelledToken {
  static constexpr TokenId kNoId = -2;  // it has a value that is no token id

  std::string_view spelling;
  TokenId id = kNoId;
};

// Resource: owns the tree. Views into it and into the text, which must outlive it.
class JsonDocument {
 public:
  // Messages say what is wrong with it as JSON, or that it is no object. Of equal keys the last one counts.
  [[nodiscard]] static Expected<JsonDocument> parse(std::string_view text);
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();

  // model.vocab that is an object and model.merges that is an array are empty here: what they hold follows.
  [[nodiscard]] const boost::json::object& root() const;

  // The members of model.vocab, in order; the first kVocabularySizeMax + 1 of more.
  [[nodiscard]] std::span<const SpelledToken> vocabulary() const;
  // The same as a map, of no more than kVocabularySizeMax. It is built while the rest of the text is parsed. Once.
  [[nodiscard]] TokenMap take_spellings();

  // The entries of model.merges, "left right" or ["left", "right"]; the first kMergesMax + 1 of more.
  [[nodiscard]] std::span<const SpelledMerge> merges() const;
  // The last of them that is neither; it stands there with empty texts, as others before it may.
  [[nodiscard]] std::optional<std::size_t> last_misshapen_merge() const;

 private:
  struct Memory;
  explicit JsonDocument(std::unique_ptr<Memory> memory);
  std::unique_ptr<Memory> memory_;
};

}  // namespace herd::tokenizer
