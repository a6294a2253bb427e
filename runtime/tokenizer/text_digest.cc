#include "runtime/tokenizer/text_digest.h"

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/digest/digest.h"

namespace herd::tokenizer {
namespace {

using digest::Digester;

void add(TokenId id, Digester& to) { to.add(static_cast<std::uint64_t>(id)); }

void add(bool flag, Digester& to) { to.add(std::uint64_t{flag}); }

// Present or not, then what it is.
void add(const std::optional<TokenId>& id, Digester& to) {
  add(id.has_value(), to);
  add(id.value_or(0), to);
}

void add(const std::vector<TokenId>& ids, Digester& to) {
  to.add(std::uint64_t{ids.size()});
  for (const TokenId id : ids) add(id, to);
}

void add(const VocabularyToken& token, Digester& to) {
  const std::array<std::uint64_t, 4> fixed = {token.bytes.size(), token.spelling.size(), static_cast<std::uint64_t>(token.kind),
                                              std::bit_cast<std::uint64_t>(token.score)};
  to.add_row(std::as_bytes(std::span(fixed)));
  to.add_row(std::as_bytes(std::span(token.bytes)));
  if (!token.spelling.empty()) to.add_row(std::as_bytes(std::span(token.spelling)));
}

void add(const NormalizerStep& step, Digester& to) {
  to.add(static_cast<std::uint64_t>(step.kind));
  to.add(step.pattern);
  to.add(step.content);
  for (const bool flag : {step.is_regex, step.left, step.right}) add(flag, to);
}

void add(const Merge& merge, Digester& to) {
  const std::array<std::uint32_t, 4> fixed = {merge.rank, static_cast<std::uint32_t>(merge.left),
                                              static_cast<std::uint32_t>(merge.right), static_cast<std::uint32_t>(merge.result)};
  to.add_row(std::as_bytes(std::span(fixed)));
}

void add(const AddedToken& token, Digester& to) {
  add(token.id, to);
  to.add(token.content);
  for (const bool flag : {token.special, token.strip_left, token.strip_right, token.normalized, token.single_word}) add(flag, to);
}

void add(const PreTokenizerStage& stage, Digester& to) {
  to.add(static_cast<std::uint64_t>(stage.kind));
  to.add(static_cast<std::uint64_t>(stage.behavior));
  to.add(stage.pattern);
  to.add(stage.content);
  for (const bool flag : {stage.invert, stage.only_at_start}) add(flag, to);
}

void add(const SentencePieceRules& rules, Digester& to) {
  to.add(rules.charsmap);
  for (const bool flag : {rules.dummy_prefix, rules.prefix_every_stretch, rules.remove_extra_spaces, rules.escape_spaces,
                          rules.space_as_suffix}) {
    add(flag, to);
  }
}

template <class Items>
void add_all(const Items& items, Digester& to) {
  to.add(std::uint64_t{items.size()});
  for (const auto& item : items) add(item, to);
}

}  // namespace

std::string text_digest(const TokenizerDefinition& definition, std::string_view chat_template) {
  Digester digester("text");
  add_all(definition.tokens, digester);
  add_all(definition.merges, digester);
  add_all(definition.added, digester);
  add_all(definition.pre_tokenizer, digester);
  add_all(definition.normalizer, digester);
  digester.add(static_cast<std::uint64_t>(definition.model));
  for (const TokenId id : definition.byte_tokens) add(id, digester);
  add(definition.sentencepiece.has_value(), digester);
  if (definition.sentencepiece) add(*definition.sentencepiece, digester);
  digester.add(definition.first_token_drops);
  for (const bool flag : {definition.whole_piece_first, definition.fuse_unknown, definition.meta_slices,
                          definition.drops_leading_space, definition.sums_in_double}) {
    add(flag, digester);
  }
  add(definition.unknown, digester);
  add(definition.prefix, digester);
  add(definition.suffix, digester);
  add(definition.bos, digester);
  add(definition.eos, digester);
  digester.add(chat_template);
  return digest::hex(digester.finish());
}

}  // namespace herd::tokenizer
