#include "runtime/tokenizer/gguf_vocabulary_of.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/gguf_pre_tokenizers.h"

namespace herd::tokenizer {
namespace {

Status cannot_hold(const std::string& what) { return bad_input("GGUF cannot hold this tokenizer: " + what); }

// One definition being stated.
class Statement {
 public:
  Statement(const TokenizerDefinition& definition, std::size_t rows) : definition_(definition), rows_(rows) {}

  Expected<StatedVocabulary> make();

 private:
  using Text = std::pair<std::string, GgufTokenType>;

  void look_at_added_tokens();
  Status add_tokens();
  Expected<Text> text_of(std::size_t id) const;
  Expected<Text> byte_level_text_of(std::size_t id) const;
  Expected<Text> scored_text_of(std::size_t id) const;
  Status state_byte_level();
  Status state_scored();
  void add_merges();
  Status state_surroundings();

  const TokenizerDefinition& definition_;
  const std::size_t rows_;
  std::unordered_map<TokenId, const AddedToken*> added_;  // by id
  StatedVocabulary stated_;
};

Expected<StatedVocabulary> Statement::make() {
  const bool byte_level = definition_.model == ModelKind::kByteBpe;
  if (!byte_level && definition_.model != ModelKind::kScoredBpe) {
    if (definition_.model == ModelKind::kUnigram) return fail(cannot_hold("it is a Unigram model"));
    return fail(cannot_hold("its merges of characters have ranks; a tokenizer.model beside it, which has scores, can be held"));
  }
  look_at_added_tokens();
  if (Status status = add_tokens(); !status.ok()) return fail(std::move(status));
  if (Status status = byte_level ? state_byte_level() : state_scored(); !status.ok()) return fail(std::move(status));
  if (Status status = state_surroundings(); !status.ok()) return fail(std::move(status));
  return std::move(stated_);
}

void Statement::look_at_added_tokens() {
  std::size_t strip = 0, words = 0;
  for (const AddedToken& token : definition_.added) {
    added_.emplace(token.id, &token);
    strip += token.strip_left || token.strip_right ? 1 : 0;
    words += token.single_word ? 1 : 0;
  }
  const auto tell = [&](std::size_t count, const std::string& what) {
    if (count > 0) stated_.unsaid.push_back("that " + std::to_string(count) + " of its added tokens " + what);
  };
  tell(strip, "take the white space beside them (lstrip, rstrip)");
  tell(words, "match whole words only (single_word)");
}

Status Statement::add_tokens() {
  GgufVocabulary& vocabulary = stated_.vocabulary;
  if (definition_.tokens.size() > rows_) {
    return bad_input("the tokenizer has " + std::to_string(definition_.tokens.size()) + " tokens, the model only " +
                     std::to_string(rows_) + " rows for them, which GGUF's readers refuse");
  }
  std::unordered_set<std::string> texts;
  for (std::size_t id = 0; id < rows_; ++id) {
    auto text = id < definition_.tokens.size() ? text_of(id) : Text{"", kUnusedToken};
    if (!text) return text.error();
    auto& [content, type] = *text;
    // Readers know tokens by their texts; one that no text becomes may have any.
    if (type == kUnusedToken && (content.empty() || !text::is_valid_utf8(content) || texts.contains(content)))
      content = "[PAD" + std::to_string(id) + "]";
    if (!texts.insert(content).second)
      return cannot_hold("two tokens have the text '" + content + "', the later one is " + std::to_string(id));
    vocabulary.tokens.push_back(std::move(content));
    vocabulary.token_types.push_back(type);
  }
  return {};
}

Expected<Statement::Text> Statement::text_of(std::size_t id) const {
  const VocabularyToken& token = definition_.tokens[id];
  const auto added = added_.find(static_cast<TokenId>(id));
  if (token.kind == TokenKind::kSpecial) {
    const bool unknown = definition_.model != ModelKind::kByteBpe && definition_.unknown == static_cast<TokenId>(id);
    return Text{added == added_.end() ? token.bytes : added->second->content, unknown ? kUnknownToken : kControlToken};
  }
  if (added != added_.end()) return Text{added->second->content, kUserToken};
  return definition_.model == ModelKind::kByteBpe ? byte_level_text_of(id) : scored_text_of(id);
}

Expected<Statement::Text> Statement::byte_level_text_of(std::size_t id) const {
  const VocabularyToken& token = definition_.tokens[id];
  if (token.kind != TokenKind::kOrdinary) return Text{token.bytes, kUnusedToken};
  if (!token.spelling.empty() && token.spelling != token.bytes)
    return fail(cannot_hold("token " + std::to_string(id) + " is decoded to another text than it stands for"));
  return Text{bytes_to_alphabet(token.bytes), kNormalToken};
}

Expected<Statement::Text> Statement::scored_text_of(std::size_t id) const {
  const VocabularyToken& token = definition_.tokens[id];
  const auto& bytes = definition_.byte_tokens;
  const auto byte = std::find(bytes.begin(), bytes.end(), static_cast<TokenId>(id));
  if (byte != bytes.end()) return Text{spelling_of_byte(static_cast<std::uint8_t>(byte - bytes.begin())), kByteToken};
  switch (token.kind) {
    case TokenKind::kOrdinary:
      return Text{std::string(spelling_of(token)), kNormalToken};
    case TokenKind::kUserDefined:
      return Text{std::string(spelling_of(token)), kUserToken};
    default:
      return Text{std::string(spelling_of(token)), kUnusedToken};
  }
}

Status Statement::state_byte_level() {
  GgufVocabulary& vocabulary = stated_.vocabulary;
  if (!definition_.normalizer.empty()) return cannot_hold("it has a normalizer");
  vocabulary.model = "gpt2";
  vocabulary.pre = gguf_pre_tokenizer_name(definition_.pre_tokenizer, definition_.whole_piece_first);
  if (vocabulary.pre.empty()) return cannot_hold("no name of GGUF's (tokenizer.ggml.pre) stands for how it cuts text");
  if (definition_.unknown) stated_.unsaid.push_back("that a byte without a token becomes the unknown token");
  if (definition_.meta_slices) stated_.unsaid.push_back("that very long words are cut as Meta's program cuts them");
  add_merges();
  return {};
}

// All splits of a token have one rank in a tiktoken file; they are listed as Hugging Face's converter lists them.
void Statement::add_merges() {
  std::vector<Merge> merges(definition_.merges.begin(), definition_.merges.end());
  std::ranges::stable_sort(merges, {}, [](const Merge& merge) { return std::tuple(merge.rank, merge.left, merge.right); });
  const auto text = [&](TokenId id) { return bytes_to_alphabet(spelling_of(definition_.tokens[static_cast<std::size_t>(id)])); };
  for (const Merge& merge : merges) stated_.vocabulary.merges.push_back(text(merge.left) + " " + text(merge.right));
}

Status Statement::state_scored() {
  GgufVocabulary& vocabulary = stated_.vocabulary;
  const SentencePieceRules& rules = definition_.sentencepiece.value();
  if (!rules.charsmap.empty()) return cannot_hold("it replaces characters before it cuts a text (normalizer_spec)");
  if (!rules.escape_spaces || rules.space_as_suffix) return cannot_hold("it treats spaces in a way of its own (normalizer_spec)");
  if (!rules.prefix_every_stretch) stated_.unsaid.push_back("that no space is put behind control tokens (legacy: false)");
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  for (const VocabularyToken& token : definition_.tokens) vocabulary.scores.push_back(static_cast<float>(token.score));
  vocabulary.scores.resize(vocabulary.tokens.size());
  vocabulary.add_space_prefix = rules.dummy_prefix;
  vocabulary.remove_extra_whitespaces = rules.remove_extra_spaces;
  return {};
}

// What stands before and after a text.
Status Statement::state_surroundings() {
  GgufVocabulary& vocabulary = stated_.vocabulary;
  if (definition_.prefix.size() > 1 || definition_.suffix.size() > 1)
    return cannot_hold("it puts more than one token before or behind a text (post_processor)");
  vocabulary.unknown_id = definition_.unknown;
  vocabulary.bos_id = definition_.bos;
  vocabulary.add_bos = !definition_.prefix.empty();
  if (*vocabulary.add_bos) vocabulary.bos_id = definition_.prefix.front();
  if (!definition_.eos.empty()) vocabulary.eos_id = definition_.eos.front();
  vocabulary.add_eos = !definition_.suffix.empty();
  if (*vocabulary.add_eos) vocabulary.eos_id = definition_.suffix.front();
  return {};
}

}  // namespace

Expected<StatedVocabulary> gguf_vocabulary_of(const TokenizerDefinition& definition, std::size_t rows) {
  return Statement(definition, rows).make();
}

}  // namespace herd::tokenizer
