#pragma once
// What a tokenizer file says, in one form for all file formats. Loaders fill it, Tokenizer::build() checks it and
// makes the tables. A value; nothing here encodes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"

namespace herd::tokenizer {

// Limits on what a file may hold; a real vocabulary uses about a tenth.
inline constexpr std::size_t kTokenizerFileBytesMax = 32U << 20;
inline constexpr std::size_t kVocabularySizeMax = 1U << 20;
inline constexpr std::size_t kMergesMax = 1U << 21;

enum class TokenKind : std::uint8_t {
  kUnused,    // an id without a token, or one that text can never become; with a spelling it takes part in merging
  kOrdinary,  // a byte string that merging can reach
  kAdded,     // found in the text before merging, visible when decoded
  kSpecial,   // control token
  kUserDefined,  // where normalized text spells it, always this one token, part of no merge (SentencePiece)
};

// How the pieces of a text become tokens.
enum class ModelKind : std::uint8_t {
  kByteBpe,       // byte-level BPE: symbols are bytes, merges have ranks (GPT-2, Llama 3)
  kCharacterBpe,  // symbols are characters, merges have ranks (tokenizer.json of Llama 2, Mistral v0.1)
  kScoredBpe,     // symbols are characters, the pair whose joined token scores highest merges (SentencePiece, GGUF "llama")
  kUnigram,       // the most likely segmentation by token scores (SentencePiece)
};

struct VocabularyToken {
  std::string bytes;     // what it decodes to; added and special tokens: their text
  TokenKind kind = TokenKind::kUnused;
  double score = 0.0;    // of kScoredBpe and kUnigram
  std::string spelling = {};  // how normalized text spells it ("\u2581the"); empty: as `bytes`
};

[[nodiscard]] inline std::string_view spelling_of(const VocabularyToken& token) {
  return token.spelling.empty() ? token.bytes : token.spelling;
}

// One step of what happens to a text before it is cut into pieces, in the order of the file.
struct NormalizerStep {
  enum class Kind : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd, kLowercase, kPrepend, kReplace, kStrip, kPrecompiled };
  Kind kind = Kind::kNfc;
  std::string pattern;       // kReplace: what is replaced; kPrecompiled: SentencePiece's map of characters, its bytes
  bool is_regex = false;     // kReplace: `pattern` is a regular expression
  std::string content;       // kPrepend, kReplace: the new text
  bool left = false;         // kStrip
  bool right = false;        // kStrip
};

inline constexpr TokenId kNoByteToken = -1;
[[nodiscard]] constexpr std::array<TokenId, 256> no_byte_tokens() {
  std::array<TokenId, 256> none{};
  none.fill(kNoByteToken);
  return none;
}

struct TokenizerDefinition {
  Table<VocabularyToken> tokens;  // by id
  Table<Merge> merges;
  std::vector<AddedToken> added;        // those of kind kAdded and kSpecial that text may contain, and of kind kOrdinary
                                        // those that are cut out of it before merging as well
  std::vector<PreTokenizerStage> pre_tokenizer;
  ModelKind model = ModelKind::kByteBpe;
  std::vector<NormalizerStep> normalizer;
  std::array<TokenId, 256> byte_tokens = no_byte_tokens();  // <0x00> … <0xFF>: what a character without a token becomes
  std::optional<SentencePieceRules> sentencepiece;  // how text is normalized instead of by `normalizer`
  bool sums_in_double = false;  // of kUnigram: HF tokenizers adds scores so, SentencePiece in float
  bool drops_leading_space = false;  // a whole text is decoded without its first space (what the normalizer put there)
  std::string first_token_drops;     // a whole text is decoded without this anywhere in the spelling of its first token

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
