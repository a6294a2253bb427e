#pragma once
// Max-min fair division: nobody gets more than it wants, and who gets less than it wants has as much, by weight, as anybody who gets
// more. Pure.

#include <cstdint>
#include <vector>

namespace herd::admission {

struct Claim {
  double want = 0;    // at least 0
  double weight = 1;  // above 0
};

// What each of the claims gets of `total` (at least 0); together min(total, all that is wanted).
[[nodiscard]] std::vector<double> divide(double total, const std::vector<Claim>& claims);

// The same in whole pieces, of equal weights; what is left when all have what they want is shared out evenly too. Together `total`,
// or nothing where nobody claims.
[[nodiscard]] std::vector<std::uint32_t> divide_whole(std::uint32_t total, const std::vector<std::uint32_t>& wants);

}  // namespace herd::admission
