#include "runtime/tokenizer/gguf_vocabulary.h"

#include <string_view>
#include <unordered_map>
#include <utility>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/text/utf8.h"

namespace herd::tokenizer {
namespace {

enum TokenType : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnusedType = 5, kByte = 6 };

struct PreRule {
  std::string_view name;
  std::vector<std::string_view> patterns;  // one split after the other
  bool whole_piece_first = false;
  bool add_bos = false;  // where the file does not say
};

// Names that GGUF writers give to pre-tokenizers of the Llama family. "default" has no definition of its own in HF
// terms; files that say so get GPT-2's pattern.
const PreRule* find_pre_rule(std::string_view name) {
  static const std::vector<PreRule> kRules = {
      {"llama-bpe", {kLlama3Pattern}, true, true},
      {"llama3", {kLlama3Pattern}, true, true},
      {"llama-v3", {kLlama3Pattern}, true, true},
      {"smollm", {kDigitPattern, kGpt2Pattern}, false, false},
      {"refact", {kDigitPattern, kGpt2Pattern}, false, false},  // Granite
      {"starcoder", {kDigitPattern, kGpt2Pattern}, false, false},
      {"gpt-2", {kGpt2Pattern}, false, false},
      {"default", {kGpt2Pattern}, false, false},
  };
  for (const PreRule& rule : kRules) {
    if (rule.name == name) return &rule;
  }
  return nullptr;
}

auto refuse(std::string_view key, const std::string& what) {
  return fail(bad_input("tokenizer.ggml." + std::string(key) + ": " + what));
}

Status read_tokens(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& text = vocabulary.tokens[i];
    const std::int32_t type = vocabulary.token_types.empty() ? kNormal : vocabulary.token_types[i];
    VocabularyToken token{text};
    switch (type) {
      case kNormal:
        if (auto bytes = bytes_from_alphabet(text); bytes && !bytes->empty()) {
          token = {std::move(*bytes), TokenKind::kOrdinary};
        }
        break;  // a spelling outside the alphabet: decodes as it stands, no text becomes it
      case kUnknown:
      case kControl:
      case kUserDefined: {
        if (!text::is_valid_utf8(text)) return bad_input("tokenizer.ggml.tokens[" + std::to_string(i) + "]: not UTF-8");
        AddedToken added;
        added.id = static_cast<TokenId>(i);
        added.content = text;
        added.special = type != kUserDefined;
        token.kind = added.special ? TokenKind::kSpecial : TokenKind::kAdded;
        definition.added.push_back(std::move(added));
        break;
      }
      case kUnusedType:
        break;
      default:
        return bad_input("tokenizer.ggml.token_type[" + std::to_string(i) + "]: " + std::to_string(type) +
                         " has no meaning in byte-level BPE");
    }
    definition.tokens.push_back(std::move(token));
  }
  return {};
}

Status read_merges(const GgufVocabulary& vocabulary, TokenizerDefinition& definition) {
  // Keyed by spelling; only tokens that merging can reach.
  std::unordered_map<std::string_view, TokenId> ids;
  ids.reserve(vocabulary.tokens.size());
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (definition.tokens[i].kind == TokenKind::kOrdinary) {
      ids.emplace(vocabulary.tokens[i], static_cast<TokenId>(i));
    }
  }
  definition.merges.reserve(vocabulary.merges.size());
  std::string joined;
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string_view merge = vocabulary.merges[i];
    const auto where = [i] { return "tokenizer.ggml.merges[" + std::to_string(i) + "]: "; };
    const std::size_t space = merge.find(' ');
    if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
      return bad_input(where() + "not two tokens with one space between them");
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    joined.assign(left).append(right);
    const auto left_id = ids.find(left);
    const auto right_id = ids.find(right);
    const auto result_id = ids.find(joined);
    if (left_id == ids.end() || right_id == ids.end() || result_id == ids.end()) {
      return bad_input(where() + "'" + std::string(merge) + "' joins tokens that are not in the vocabulary");
    }
    definition.merges.push_back({static_cast<std::uint32_t>(i), left_id->second, right_id->second, result_id->second});
  }
  return {};
}

}  // namespace

Expected<Tokenizer> tokenizer_from_vocabulary(const GgufVocabulary& vocabulary) {
  if (vocabulary.model == "llama") return refuse("model", "SentencePiece vocabularies ('llama') are not supported yet");
  if (vocabulary.model != "gpt2") return refuse("model", "'" + vocabulary.model + "' is not supported (byte-level BPE, 'gpt2', is)");
  if (vocabulary.pre.empty()) return refuse("pre", "missing: the file does not say how text is cut; convert it again");
  const PreRule* rule = find_pre_rule(vocabulary.pre);
  if (rule == nullptr) {
    return refuse("pre", "'" + vocabulary.pre + "' is not supported (llama-bpe, smollm, refact, starcoder, gpt-2 are)");
  }
  if (vocabulary.tokens.empty()) return refuse("tokens", "missing");
  if (vocabulary.tokens.size() > kVocabularySizeMax) return refuse("tokens", "more than " + std::to_string(kVocabularySizeMax));
  if (vocabulary.merges.size() > kMergesMax) return refuse("merges", "more than " + std::to_string(kMergesMax));
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() != vocabulary.tokens.size()) {
    return refuse("token_type", std::to_string(vocabulary.token_types.size()) + " entries for " +
                                    std::to_string(vocabulary.tokens.size()) + " tokens");
  }

  TokenizerDefinition definition;
  if (Status status = read_tokens(vocabulary, definition); !status.ok()) return fail(std::move(status));
  if (Status status = read_merges(vocabulary, definition); !status.ok()) return fail(std::move(status));
  for (const std::string_view pattern : rule->patterns) definition.pre_tokenizer.push_back(PreTokenizerStage::split(pattern));
  definition.whole_piece_first = rule->whole_piece_first;
  definition.bos = vocabulary.bos_id;
  if (vocabulary.add_bos.value_or(rule->add_bos)) {
    if (!vocabulary.bos_id) return refuse("bos_token_id", "missing, although a text must begin with it");
    definition.prefix = {*vocabulary.bos_id};
  }
  if (vocabulary.eos_id) definition.eos.push_back(*vocabulary.eos_id);
  if (vocabulary.eot_id) definition.eos.push_back(*vocabulary.eot_id);
  auto built = Tokenizer::build(std::move(definition));
  if (!built) return fail(bad_input("tokenizer.ggml: " + built.error().message()));
  return built;
}

}  // namespace herd::tokenizer
