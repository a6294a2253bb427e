#include "runtime/tokenizer/sentencepiece_normalizer.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {

Expected<SentencePieceNormalizer> SentencePieceNormalizer::build(const SentencePieceRules& rules,
                                                                 std::vector<PieceTrie::Entry> kept) {
  SentencePieceNormalizer normalizer;
  if (!rules.charsmap.empty()) {
    auto charsmap = Charsmap::parse(rules.charsmap);
    if (!charsmap) return fail(charsmap.error());
    normalizer.charsmap_ = std::move(*charsmap);
  }
  normalizer.rules_ = rules;
  normalizer.rules_.charsmap = {};
  normalizer.kept_ = PieceTrie(std::move(kept));
  return normalizer;
}

Charsmap::Match SentencePieceNormalizer::front(std::string_view text) const {
  if (const auto kept = kept_.longest_prefix(text); kept.size > 0) return {kept.size, text.substr(0, kept.size)};
  if (const auto replaced = charsmap_.longest_prefix(text); replaced.size > 0) return replaced;
  const text::CodePoint next = text::first_code_point(text);
  return {next.size, next.valid ? text.substr(0, next.size) : text::kReplacementUtf8};
}

void SentencePieceNormalizer::append_spelled(std::string_view text, std::string& out) const {
  while (!text.empty()) {
    const std::size_t size = rules_.escape_spaces ? std::min(text.find(' '), text.size()) : text.size();
    out.append(text.substr(0, size));
    if (size == text.size()) return;
    out.append(kSpaceSymbol);
    text.remove_prefix(size + 1);
  }
}

void SentencePieceNormalizer::normalize(std::string_view text, bool begins_text, std::string& out) const {
  const std::size_t start = out.size();
  if (rules_.remove_extra_spaces) {
    while (!text.empty()) {
      const Charsmap::Match next = front(text);
      if (next.text != " ") break;
      text.remove_prefix(next.size);
    }
  }
  if (text.empty()) return;
  const bool adds_space = rules_.dummy_prefix && (begins_text || rules_.prefix_every_stretch);
  if (adds_space && !rules_.space_as_suffix) out.append(space());
  if (charsmap_.empty() && kept_.empty() && !rules_.remove_extra_spaces) {
    append_spelled(text, out);
    text = {};
  }
  bool after_space = rules_.remove_extra_spaces;
  while (!text.empty()) {
    const Charsmap::Match next = front(text);
    text.remove_prefix(next.size);
    std::string_view becomes = next.text;
    while (after_space && becomes.starts_with(' ')) becomes.remove_prefix(1);
    if (becomes.empty()) continue;
    append_spelled(becomes, out);
    after_space = rules_.remove_extra_spaces && becomes.back() == ' ';
  }
  if (rules_.remove_extra_spaces) {
    while (out.size() - start >= space().size() && out.ends_with(space())) out.resize(out.size() - space().size());
  }
  if (adds_space && rules_.space_as_suffix) out.append(space());
}

}  // namespace herd::tokenizer
