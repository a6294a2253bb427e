#include "runtime/tokenizer/gguf_vocabulary.h"

#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/gguf_pre_tokenizers.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/sentencepiece_model.h"
#include "runtime/tokenizer/spelled_merges.h"
#include "runtime/tokenizer/token_map.h"

namespace herd::tokenizer {
namespace {

// What llama.cpp takes for granted of a "llama" vocabulary that does not say it.
constexpr TokenId kUnknownDefault = 0;
constexpr TokenId kBosDefault = 1;
constexpr TokenId kEosDefault = 2;

auto refuse(std::string_view key, const std::string& what) {
  return fail(bad_input("tokenizer.ggml." + std::string(key) + ": " + what));
}

std::string entry(std::string_view key, std::size_t index) {
  return "tokenizer.ggml." + std::string(key) + "[" + std::to_string(index) + "]: ";
}

std::int32_t type_of(const GgufVocabulary& vocabulary, std::size_t index) {
  return vocabulary.token_types.empty() ? kNormalToken : vocabulary.token_types[index];
}

// A token that is found in the text before it is cut into pieces. Nothing when it is of another type.
Expected<bool> add_found_token(const GgufVocabulary& vocabulary, std::size_t index, TokenizerDefinition& definition) {
  const std::int32_t type = type_of(vocabulary, index);
  if (type != kUnknownToken && type != kControlToken && type != kUserToken) return false;
  const std::string& text = vocabulary.tokens[index];
  if (!text::is_valid_utf8(text)) return fail(bad_input(entry("tokens", index) + "not UTF-8"));
  AddedToken added;
  added.id = static_cast<TokenId>(index);
  added.content = text;
  added.special = type != kUserToken;
  definition.tokens.push_back({text, added.special ? TokenKind::kSpecial : TokenKind::kAdded});
  definition.added.push_back(std::move(added));
  return true;
}

// A text that occurs twice becomes the later of the two tokens, as in llama.cpp; both decode.
void drop_earlier_twins(TokenizerDefinition& definition) {
  TokenMap texts(definition.tokens.size());
  std::vector<std::size_t> last;     // token of each text
  std::vector<std::size_t> dropped;  // the map looks at their texts until all are known
  for (std::size_t id = 0; id < definition.tokens.size(); ++id) {
    const VocabularyToken& token = definition.tokens[id];
    if (token.kind != TokenKind::kOrdinary) continue;
    const TokenId twin = texts.insert(spelling_of(token), static_cast<TokenId>(last.size()));
    if (twin == TokenMap::kNone) {
      last.push_back(id);
    } else {
      dropped.push_back(std::exchange(last[static_cast<std::size_t>(twin)], id));
    }
  }
  for (const std::size_t id : dropped) {
    definition.tokens[id].kind = TokenKind::kUnused;
    definition.tokens[id].spelling.clear();
  }
}

Status read_byte_level_tokens(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const auto found = add_found_token(vocabulary, i, definition);
    if (!found) return found.error();
    if (*found) continue;
    const std::string& text = vocabulary.tokens[i];
    VocabularyToken token{text, TokenKind::kUnused};
    const std::int32_t type = type_of(vocabulary, i);
    if (type == kNormalToken) {
      if (auto bytes = bytes_from_alphabet(text); bytes && !bytes->empty()) token = {std::move(*bytes), TokenKind::kOrdinary};
      // a spelling outside the alphabet: decodes as it stands, no text becomes it
    } else if (type != kUnusedToken) {
      return bad_input(entry("token_type", i) + std::to_string(type) + " has no meaning in byte-level BPE");
    }
    definition.tokens.push_back(std::move(token));
  }
  drop_earlier_twins(definition);
  return {};
}

Status read_scored_tokens(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const auto found = add_found_token(vocabulary, i, definition);
    if (!found) return found.error();
    if (*found) continue;
    const std::string& text = vocabulary.tokens[i];
    VocabularyToken token{text_of_piece(text), TokenKind::kOrdinary};
    token.score = vocabulary.scores[i];
    token.spelling = text;
    const std::int32_t type = type_of(vocabulary, i);
    if (type == kByteToken) {
      const auto byte = byte_of_spelling(text);
      if (!byte) return bad_input(entry("tokens", i) + "'" + text + "' is not <0x00> … <0xFF>, the spelling of a byte");
      token = {};
      token.bytes = std::string(1, static_cast<char>(*byte));
      definition.byte_tokens[*byte] = static_cast<TokenId>(i);
    } else if (type == kUnusedToken) {
      token.kind = TokenKind::kUnused;
    } else if (type != kNormalToken) {
      return bad_input(entry("token_type", i) + std::to_string(type) + " is unknown");
    }
    definition.tokens.push_back(std::move(token));
  }
  drop_earlier_twins(definition);
  return {};
}

// Tokens that merging may build, by spelling. A user's token that is an ordinary word as well can still be built where
// it is not cut out: as a part of another word. `spelled` keeps spellings that the file does not hold.
TokenMap mergeable_tokens(const GgufVocabulary& vocabulary, const TokenizerDefinition& definition, std::deque<std::string>& spelled) {
  TokenMap ids(vocabulary.tokens.size() + definition.added.size());
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (definition.tokens[i].kind == TokenKind::kOrdinary) ids.insert(vocabulary.tokens[i], static_cast<TokenId>(i));
  }
  for (const AddedToken& token : definition.added) {
    if (!token.special) ids.insert(spelled.emplace_back(bytes_to_alphabet(token.content)), token.id);
  }
  return ids;
}

// The merges in front of the first one that is not "left right".
Table<SpelledMerge> spelled_merges(const GgufVocabulary& vocabulary) {
  Table<SpelledMerge> merges;
  merges.reserve(vocabulary.merges.size());
  for (const std::string_view merge : vocabulary.merges) {
    const std::size_t space = merge.find(' ');
    if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) break;
    merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  return merges;
}

Status read_merges(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  std::deque<std::string> spelled;
  const TokenMap ids = mergeable_tokens(vocabulary, definition, spelled);
  const Table<SpelledMerge> merges = spelled_merges(vocabulary);
  definition.merges = find_merges(merges, ids, MergeOrder::kRising);
  for (const Merge& merge : definition.merges) {
    if (is_found(merge)) continue;
    return bad_input(entry("merges", merge.rank) + "'" + vocabulary.merges[merge.rank] + "' joins tokens that are not in the vocabulary");
  }
  if (merges.size() == vocabulary.merges.size()) return {};
  return bad_input(entry("merges", merges.size()) + "not two tokens with one space between them");
}

Status check_sizes(const GgufVocabulary& vocabulary) {
  const auto problem = [](std::string_view key, const std::string& what) {
    return bad_input("tokenizer.ggml." + std::string(key) + ": " + what);
  };
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0) return problem("tokens", "missing");
  if (size > kVocabularySizeMax) return problem("tokens", "more than " + std::to_string(kVocabularySizeMax));
  if (vocabulary.merges.size() > kMergesMax) return problem("merges", "more than " + std::to_string(kMergesMax));
  const auto entries = [size](std::size_t count) {
    return std::to_string(count) + " entries for " + std::to_string(size) + " tokens";
  };
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() != size) {
    return problem("token_type", entries(vocabulary.token_types.size()));
  }
  if (vocabulary.model == "llama" && vocabulary.scores.size() != size) {
    return problem("scores", vocabulary.scores.empty() ? "missing: they say what merges first" : entries(vocabulary.scores.size()));
  }
  return {};
}

// Byte-level BPE, cut as `pre` names it. Whether a text begins with BOS where the file does not say.
Expected<bool> define_byte_level(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  if (vocabulary.pre.empty()) return refuse("pre", "missing: the file does not say how text is cut; convert it again");
  const GgufPreTokenizer* pre = find_gguf_pre_tokenizer(vocabulary.pre);
  if (pre == nullptr) {
    return refuse("pre", "'" + vocabulary.pre + "' is not supported (" + gguf_pre_tokenizer_names() + " are)");
  }
  if (Status status = read_byte_level_tokens(vocabulary, definition); !status.ok()) return fail(std::move(status));
  if (Status status = read_merges(vocabulary, definition); !status.ok()) return fail(std::move(status));
  definition.pre_tokenizer = pre->stages;
  definition.whole_piece_first = pre->whole_piece_first;
  definition.bos = vocabulary.bos_id;
  if (vocabulary.eos_id) definition.eos = {*vocabulary.eos_id};
  return pre->add_bos;
}

// SentencePiece's BPE as llama.cpp runs it: what tokens are found in the text cut it into stretches, and each of these
// gets the space.
Expected<bool> define_scored(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  if (Status status = read_scored_tokens(vocabulary, definition); !status.ok()) return fail(std::move(status));
  definition.model = ModelKind::kScoredBpe;
  const auto in_vocabulary = [&](std::optional<TokenId> id, TokenId by_default) {
    const TokenId chosen = id.value_or(by_default);
    const bool known = chosen >= 0 && static_cast<std::size_t>(chosen) < definition.tokens.size();
    return id || known ? std::optional(chosen) : std::nullopt;
  };
  definition.unknown = in_vocabulary(vocabulary.unknown_id, kUnknownDefault);
  definition.fuse_unknown = true;
  definition.bos = in_vocabulary(vocabulary.bos_id, kBosDefault);
  if (const auto eos = in_vocabulary(vocabulary.eos_id, kEosDefault)) definition.eos = {*eos};
  SentencePieceRules rules;
  rules.dummy_prefix = vocabulary.add_space_prefix.value_or(true);
  rules.remove_extra_spaces = vocabulary.remove_extra_whitespaces.value_or(false);
  definition.drops_leading_space = rules.dummy_prefix || rules.remove_extra_spaces;
  definition.sentencepiece = std::move(rules);
  return true;
}

}  // namespace

Expected<TokenizerDefinition> vocabulary_definition(const GgufVocabulary& vocabulary) {
  const bool scored = vocabulary.model == "llama";
  if (!scored && vocabulary.model != "gpt2") {
    return refuse("model", "'" + vocabulary.model + "' is not supported (byte-level BPE, 'gpt2', and SentencePiece's, 'llama', are)");
  }
  if (Status status = check_sizes(vocabulary); !status.ok()) return fail(std::move(status));
  TokenizerDefinition definition;
  definition.tokens.reserve(vocabulary.tokens.size());
  const auto add_bos = scored ? define_scored(vocabulary, definition) : define_byte_level(vocabulary, definition);
  if (!add_bos) return fail(add_bos.error());
  if (vocabulary.add_bos.value_or(*add_bos)) {
    if (!definition.bos) return refuse("bos_token_id", "missing, although a text must begin with it");
    definition.prefix = {*definition.bos};
  }
  if (vocabulary.add_eos.value_or(false)) {
    if (definition.eos.empty()) return refuse("eos_token_id", "missing, although a text must end with it");
    definition.suffix = {definition.eos.front()};
  }
  if (vocabulary.eot_id) definition.eos.push_back(*vocabulary.eot_id);
  return definition;
}

Expected<Tokenizer> tokenizer_from_vocabulary(const GgufVocabulary& vocabulary) {
  return Tokenizer::build(vocabulary_definition(vocabulary), "tokenizer.ggml");
}

}  // namespace herd::tokenizer
