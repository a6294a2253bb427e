#include "cluster/membership/told_epochs.h"

namespace herd::membership {
namespace {

constexpr std::size_t kTellersMax = 256;  // that are remembered

}  // namespace

bool ToldEpochs::believe(const std::string& who, Epoch told, Epoch newest) {
  if (told >= kClusterEpochMax) return false;
  if (told <= newest_of_one(newest)) return true;
  if (told_.size() >= kTellersMax) told_.clear();
  Epoch& before = told_[who];
  before = std::max(before, told);
  return std::ranges::any_of(told_, [&](const auto& other) { return other.first != who && other.second >= told; });
}

}  // namespace herd::membership
