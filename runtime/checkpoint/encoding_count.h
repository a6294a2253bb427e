#pragma once
// EncodingCount: what the matrices of a model are stored in, when they are not all stored in the same.

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace herd::model {

// Matrices are counted, whatever their sizes: quantisers keep the embedding and the head in an encoding of their own, and in a
// small model these two are larger than all layers. Of two encodings that as many matrices have, that of more elements counts.
class EncodingCount {
 public:
  void add(const std::string& encoding, std::int64_t elements) {
    auto& [matrices, sum] = count_[encoding];
    ++matrices;
    sum += static_cast<std::uint64_t>(elements);
  }
  // Empty where nothing was added.
  [[nodiscard]] std::string most() const {
    const auto found = std::max_element(count_.begin(), count_.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
    return found == count_.end() ? std::string() : found->first;
  }

 private:
  std::map<std::string, std::pair<std::int64_t, std::uint64_t>> count_;  // matrices, elements (a hostile file's sum may wrap)
};

}  // namespace herd::model
