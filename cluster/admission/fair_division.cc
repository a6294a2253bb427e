#include "cluster/admission/fair_division.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace herd::admission {
namespace {

// Places of the claims, by how soon an even division has filled them.
template <class Key>
std::vector<std::size_t> sorted_by(std::size_t count, Key key) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, key);
  return order;
}

}  // namespace

std::vector<double> divide(double total, const std::vector<Claim>& claims) {
  std::vector<double> given(claims.size());
  double weights = 0;
  for (const Claim& claim : claims) weights += claim.weight;
  for (const std::size_t at : sorted_by(claims.size(), [&](std::size_t i) { return claims[i].want / claims[i].weight; })) {
    const Claim& claim = claims[at];
    given[at] = std::clamp(claim.want, 0.0, std::max(0.0, total * claim.weight / weights));
    total -= given[at];
    weights = std::max(weights - claim.weight, claim.weight * 1e-9);  // the last one's, but for rounding
  }
  return given;
}

std::vector<std::uint32_t> divide_whole(std::uint32_t total, const std::vector<std::uint32_t>& wants) {
  std::vector<std::uint32_t> given(wants.size());
  auto left = static_cast<std::uint32_t>(wants.size());
  for (const std::size_t at : sorted_by(wants.size(), [&](std::size_t i) { return wants[i]; })) {
    given[at] = std::min(wants[at], total / left--);
    total -= given[at];
  }
  left = static_cast<std::uint32_t>(wants.size());
  for (std::uint32_t& one : given) {
    const std::uint32_t more = total / left--;
    one += more;
    total -= more;
  }
  return given;
}

}  // namespace herd::admission
