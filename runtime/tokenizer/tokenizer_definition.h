#pragma once
// What a tokenizer file says, in one form for all file formats. Loaders fill it, Tokenizer::build() checks it and
// makes the tables. A value; nothing here encodes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/pre_tokenizer.h"

namespace herd::tokenizer {

// Limits on what a file may hold; a real vocabulary uses about a tenth.
inline constexpr std::size_t kTokenizerFileBytesMax = 32U << 20;
inline constexpr std::size_t kVocabularySizeMax = 1U << 20;
inline constexpr std::size_t kMergesMax = 1U << 21;

enum class TokenKind : std::uint8_t {
  kUnused,    // an id without a token, or one that text can never become
  kOrdinary,  // a byte string that merging can reach
  kAdded,     // found in the text before merging, visible when decoded
  kSpecial,   // control token
};

struct VocabularyToken {
  std::string bytes;  // what it stands for; added and special tokens: their text
  TokenKind kind = TokenKind::kUnused;
};

struct TokenizerDefinition {
  std::vector<VocabularyToken> tokens;  // by id
  std::vector<Merge> merges;
  std::vector<AddedToken> added;        // exactly the tokens of kind kAdded and kSpecial that text may contain
  std::vector<PreTokenizerStage> pre_tokenizer;

  bool whole_piece_first = false;  // a piece that is a token needs no merging ("ignore_merges")
  std::optional<TokenId> unknown;  // for a byte without a token; absent: the byte is dropped, as HF does
  bool fuse_unknown = false;       // adjacent unknown bytes become one

  std::vector<TokenId> prefix;  // what `add_bos` puts before a text, …
  std::vector<TokenId> suffix;  // … and after it
  std::optional<TokenId> bos;   // absent: the first of `prefix`
  std::vector<TokenId> eos;     // declared by the file; well-known names join them
  bool meta_slices = false;     // encode in slices as Meta's wrapper around tiktoken does
};

}  // namespace herd::tokenizer
