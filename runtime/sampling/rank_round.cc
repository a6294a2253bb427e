#include "runtime/sampling/rank_round.h"

namespace herd::sampling {

void RankRound::open(const Collective& tp) {
  rank_ = static_cast<std::size_t>(tp.rank());
  all_.assign(bytes_ * static_cast<std::size_t>(tp.size()), std::byte{0});
}

void RankRound::gather(Collective& tp, CollectiveName name) {
  if (tp.size() > 1) tp.all_gather(name, mine<std::byte>(0), all_.data(), bytes_);
}

}  // namespace herd::sampling
