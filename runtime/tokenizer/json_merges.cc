#include "runtime/tokenizer/json_merges.h"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

constexpr std::size_t kMergesAtOnce = 64;  // whose tokens are looked up together

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

std::string merge_path(std::size_t index) { return "model.merges[" + std::to_string(index) + "]: "; }

// "left right" in one text, or two texts.
std::optional<std::pair<std::string_view, std::string_view>> merged_pair(const json::value& merge) {
  if (const json::string* text = merge.if_string()) {
    const std::string_view both = view(*text);
    const std::size_t space = both.find(' ');
    if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) return std::nullopt;
    return std::pair(both.substr(0, space), both.substr(space + 1));
  }
  const json::array* pair = merge.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string()) return std::nullopt;
  return std::pair(view((*pair)[0].get_string()), view((*pair)[1].get_string()));
}

// Merges [begin, end) of the list, into `read` by falling rank. Of several faults the last one is told.
Status read_part(const json::array& merges, std::size_t begin, std::size_t end, const TokenMap& spelled, std::span<Merge> read) {
  std::vector<std::string_view> texts(2 * kMergesAtOnce);  // left and right of each
  std::vector<TokenId> ids(texts.size());
  std::string joined;
  std::size_t place = 0;  // of the token built last: as a rule the vocabulary lists tokens in the order of their merges
  while (end > begin) {
    const std::size_t count = std::min(end - begin, kMergesAtOnce);
    for (std::size_t i = 0; i < count; ++i) {
      const auto pair = merged_pair(merges[end - 1 - i]);
      if (!pair) {
        return bad_input(merge_path(end - 1 - i) + "not two tokens, in one text with a space between them or in two");
      }
      texts[2 * i] = pair->first;
      texts[2 * i + 1] = pair->second;
    }
    spelled.find_all(std::span(texts).first(2 * count), ids);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t rank = end - 1 - i;
      joined.assign(texts[2 * i]).append(texts[2 * i + 1]);
      const TokenId result = spelled.find_near(joined, place);
      if (ids[2 * i] == TokenMap::kNone || ids[2 * i + 1] == TokenMap::kNone || result == TokenMap::kNone) {
        return bad_input(merge_path(rank) + "'" + std::string(texts[2 * i]) + "' and '" + std::string(texts[2 * i + 1]) +
                         "' or what they make is not in model.vocab");
      }
      read[i] = {static_cast<std::uint32_t>(rank), ids[2 * i], ids[2 * i + 1], result};
    }
    read = read.subspan(count);
    end -= count;
  }
  return {};
}

}  // namespace

Expected<std::vector<Merge>> read_json_merges(const json::object& model, const TokenMap& spelled) {
  const json::value* list = json_member(model, "merges");
  if (list == nullptr || !list->is_array()) return fail(bad_input("model.merges: missing"));
  const json::array& merges = list->get_array();
  if (merges.size() > kMergesMax) return fail(bad_input("model.merges: more than " + std::to_string(kMergesMax)));
  std::vector<Merge> read(merges.size());
  const std::size_t middle = merges.size() / 2;
  const std::size_t in_front = merges.size() - middle;  // what follows the middle comes first
  std::array<Status, 2> status;
  in_two_halves([&](std::size_t half) {
    status[half] = half == 0 ? read_part(merges, middle, merges.size(), spelled, std::span(read).first(in_front))
                             : read_part(merges, 0, middle, spelled, std::span(read).subspan(in_front));
  });
  for (Status& each : status)
    if (!each.ok()) return fail(std::move(each));
  return read;
}

}  // namespace herd::tokenizer
