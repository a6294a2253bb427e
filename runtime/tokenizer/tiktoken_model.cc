#include "runtime/tokenizer/tiktoken_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/base64.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/token_map.h"
#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

constexpr std::size_t kTiktokenTokenBytesMax = 256;  // Llama 3's longest has 128; all splits of each are tried
constexpr std::size_t kTiktokenSpecialsCount = 256;
constexpr std::size_t kBytesALine = 16;  // of the files there are; more tokens than that move once

std::vector<std::string> special_names(TiktokenSpecials specials) {
  const bool v31 = specials == TiktokenSpecials::kLlama31;
  std::vector<std::string> names(kTiktokenSpecialsCount);  // by distance from the first special id
  names[0] = "<|begin_of_text|>";
  names[1] = "<|end_of_text|>";
  names[6] = "<|start_header_id|>";
  names[7] = "<|end_header_id|>";
  names[9] = "<|eot_id|>";
  if (v31) {
    names[4] = "<|finetune_right_pad_id|>";
    names[8] = "<|eom_id|>";
    names[10] = "<|python_tag|>";
  }
  std::size_t reserved = 0;
  for (std::string& name : names) {
    if (name.empty()) name = "<|reserved_special_token_" + std::to_string(reserved++) + "|>";
  }
  return names;
}

// tiktoken merges the adjacent pair whose joined bytes have the lowest rank: every split of every token into two
// tokens is a merge, and all splits of one token share its rank.
// Appends those of tokens [begin, end); stops behind the token with which they are too many.
void add_merges(const Table<VocabularyToken>& tokens, std::size_t begin, std::size_t end, const TokenMap& known,
                Table<Merge>& merges) {
  std::vector<std::string_view> parts;  // left and right of every split of one token
  std::vector<TokenId> ids(2 * kTiktokenTokenBytesMax);
  for (std::size_t i = begin; i < end && merges.size() <= kMergesMax; ++i) {
    const std::string_view bytes = tokens[i].bytes;
    parts.clear();
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) parts.insert(parts.end(), {bytes.substr(0, cut), bytes.substr(cut)});
    known.find_all(parts, ids);
    for (std::size_t split = 0; split < parts.size(); split += 2) {
      if (ids[split] == TokenMap::kNone || ids[split + 1] == TokenMap::kNone) continue;
      merges.push_back({static_cast<std::uint32_t>(i), ids[split], ids[split + 1], static_cast<TokenId>(i)});
    }
  }
}

Expected<Table<Merge>> merges_of(const Table<VocabularyToken>& tokens, std::string_view name) {
  TokenMap known(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) known.insert(tokens[i].bytes, static_cast<TokenId>(i));
  std::array<Table<Merge>, 2> halves;
  in_two_halves(tokens.size(), [&](std::size_t half, std::size_t begin, std::size_t end) {
    add_merges(tokens, begin, end, known, halves[half]);
  });
  if (halves[0].size() + halves[1].size() > kMergesMax) return fail(bad_input(std::string(name) + ": tokens split in too many ways"));
  halves[0].insert(halves[0].end(), halves[1].begin(), halves[1].end());
  return std::move(halves[0]);
}

Expected<Table<VocabularyToken>> parse_lines(std::string_view content, std::string_view name) {
  Table<VocabularyToken> tokens;
  tokens.reserve(content.size() / kBytesALine + kTiktokenSpecialsCount);
  while (!content.empty()) {
    const std::size_t line_size = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, line_size);
    content.remove_prefix(std::min(line_size + 1, content.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);

    const auto refuse = [&](const std::string& what) {
      return fail(bad_input(std::string(name) + ":" + std::to_string(tokens.size() + 1) + ": " + what));
    };
    if (line.empty() && content.empty() && !tokens.empty()) break;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return refuse("not '<base64> <rank>' (is this a SentencePiece file?)");
    auto decoded = text::base64_decode(line.substr(0, space));
    if (!decoded || decoded->empty()) return refuse("token is not base64");
    std::string bytes = std::move(*decoded);
    if (bytes.size() > kTiktokenTokenBytesMax) return refuse("token longer than " + std::to_string(kTiktokenTokenBytesMax) + " bytes");
    const std::string_view digits = line.substr(space + 1);
    std::size_t rank = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || end != digits.data() + digits.size()) return refuse("rank is not a number");
    if (rank != tokens.size()) {
      return refuse("rank " + std::to_string(rank) + " where " + std::to_string(tokens.size()) + " must follow");
    }
    if (rank + kTiktokenSpecialsCount >= kVocabularySizeMax) return refuse("too many tokens");
    tokens.push_back({std::move(bytes), TokenKind::kOrdinary});
  }
  return tokens;
}

}  // namespace

Expected<TokenizerDefinition> tiktoken_definition(std::string_view content, std::string_view name, TiktokenSpecials specials) {
  auto tokens = parse_lines(content, name);
  if (!tokens) return fail(tokens.error());

  std::array<bool, 256> present{};
  for (const VocabularyToken& token : *tokens) {
    if (token.bytes.size() == 1) present[static_cast<unsigned char>(token.bytes[0])] = true;
  }
  if (const auto gap = std::find(present.begin(), present.end(), false); gap != present.end()) {
    return fail(bad_input(std::string(name) + ": no token for byte " + std::to_string(gap - present.begin()) +
                          " among " + std::to_string(tokens->size()) + " lines"));
  }

  TokenizerDefinition definition;
  auto merges = merges_of(*tokens, name);
  if (!merges) return fail(merges.error());
  definition.merges = std::move(*merges);
  definition.tokens = std::move(*tokens);
  for (std::string& special : special_names(specials)) {
    AddedToken added;
    added.id = static_cast<TokenId>(definition.tokens.size());
    added.content = special;
    definition.tokens.push_back({std::move(special), TokenKind::kSpecial});
    definition.added.push_back(std::move(added));
  }
  definition.pre_tokenizer = {PreTokenizerStage::split(kLlama3Pattern)};
  definition.whole_piece_first = true;
  definition.meta_slices = true;
  definition.prefix = {definition.added.front().id};  // <|begin_of_text|>
  return definition;
}

Expected<Tokenizer> parse_tiktoken_model(std::string_view content, std::string_view name, TiktokenSpecials specials) {
  return Tokenizer::build(tiktoken_definition(content, name, specials), name);
}

}  // namespace herd::tokenizer
