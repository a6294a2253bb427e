#pragma once
// Which of many strings a text begins with: a trie over bytes, for vocabularies. Of one place of a text it finds all
// strings that begin there in the time of reading the longest.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/ids.h"

namespace herd::tokenizer {

// Immutable; it keeps no view of the strings it was made of.
class PieceTrie {
 public:
  struct Entry {
    std::string_view text;  // not empty; of equal ones the first counts
    TokenId id = 0;
  };
  struct Match {
    std::size_t size = 0;  // in bytes; 0: the text begins with none of the strings
    TokenId id = 0;
  };

  PieceTrie() = default;
  explicit PieceTrie(std::vector<Entry> entries);

  [[nodiscard]] bool empty() const { return nodes_.empty(); }
  [[nodiscard]] Match longest_prefix(std::string_view text) const;

  // use(size, id) for each string that `text` begins with, the shortest first.
  template <class Use>
  void for_each_prefix(std::string_view text, Use use) const {
    if (text.empty()) return;
    std::uint32_t node = first_[static_cast<unsigned char>(text.front())];
    for (std::size_t size = 1; node != kNone; ++size) {
      if (nodes_[node].id != kNoId) use(size, nodes_[node].id);
      if (size == text.size()) return;
      node = child(nodes_[node], text[size]);
    }
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr TokenId kNoId = -1;
  struct Node {
    std::uint32_t children = 0;  // index of the first one; all of a node lie side by side, by byte
    std::uint32_t child_count = 0;
    TokenId id = kNoId;
  };

  static constexpr std::array<std::uint32_t, 256> no_first() {
    std::array<std::uint32_t, 256> none{};
    none.fill(kNone);
    return none;
  }

  [[nodiscard]] std::uint32_t child(const Node& node, char byte) const {
    if (node.child_count == 0) return kNone;
    const char* labels = labels_.data() + node.children;
    const void* found = std::memchr(labels, static_cast<unsigned char>(byte), node.child_count);
    return found == nullptr ? kNone : node.children + static_cast<std::uint32_t>(static_cast<const char*>(found) - labels);
  }

  std::vector<Node> nodes_;
  std::vector<char> labels_;                             // by node: the byte that leads to it
  std::array<std::uint32_t, 256> first_ = no_first();  // by the first byte of a text
};

}  // namespace herd::tokenizer
