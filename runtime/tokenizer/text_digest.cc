#include "runtime/tokenizer/text_digest.h"

#include <cstdint>
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
  to.add(token.bytes);
  to.add(static_cast<std::uint64_t>(token.kind));
}

void add(const Merge& merge, Digester& to) {
  to.add(std::uint64_t{merge.rank});
  for (const TokenId id : {merge.left, merge.right, merge.result}) add(id, to);
}

void add(const AddedToken& token, Digester& to) {
  add(token.id, to);
  to.add(token.content);
  for (const bool flag : {token.special, token.strip_left, token.strip_right, token.normalized}) add(flag, to);
}

void add(const PreTokenizerStage& stage, Digester& to) {
  add(stage.pattern.has_value(), to);
  to.add(static_cast<std::uint64_t>(stage.pattern.value_or(SplitPattern::kLlama3)));
  add(stage.prefix_space, to);
}

template <class Item>
void add_all(const std::vector<Item>& items, Digester& to) {
  to.add(std::uint64_t{items.size()});
  for (const Item& item : items) add(item, to);
}

}  // namespace

std::string text_digest(const TokenizerDefinition& definition, std::string_view chat_template) {
  Digester digester("text");
  add_all(definition.tokens, digester);
  add_all(definition.merges, digester);
  add_all(definition.added, digester);
  add_all(definition.pre_tokenizer, digester);
  for (const bool flag : {definition.whole_piece_first, definition.fuse_unknown, definition.meta_slices}) add(flag, digester);
  add(definition.unknown, digester);
  add(definition.prefix, digester);
  add(definition.suffix, digester);
  add(definition.bos, digester);
  add(definition.eos, digester);
  digester.add(chat_template);
  return digest::hex(digester.finish());
}

}  // namespace herd::tokenizer
