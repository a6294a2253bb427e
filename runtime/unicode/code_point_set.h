#pragma once
// A set of Unicode code points as sorted ranges: what \p{L} or [a-z] stands for.

#include <cstddef>
#include <vector>

namespace herd::unicode {

inline constexpr char32_t kCodePointMax = 0x10FFFF;

// Code points first … last.
struct CodePointRange {
  char32_t first = 0;
  char32_t last = 0;
  bool operator==(const CodePointRange&) const = default;
};

// Value. The ranges are ascending, none is empty, none touches the next.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<CodePointRange> ranges);  // in any order, overlapping or not

  void add(char32_t first, char32_t last);
  void unite(const CodePointSet& other);
  [[nodiscard]] CodePointSet complement() const;
  [[nodiscard]] CodePointSet intersect(const CodePointSet& other) const;

  [[nodiscard]] bool contains(char32_t point) const;
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] std::size_t size() const;  // code points
  [[nodiscard]] const std::vector<CodePointRange>& ranges() const { return ranges_; }
  bool operator==(const CodePointSet&) const = default;

 private:
  void normalize();

  std::vector<CodePointRange> ranges_;
};

}  // namespace herd::unicode
