#include "cluster/routing/replica_loss.h"

#include <algorithm>
#include <cstddef>

namespace herd::routing {

void lay_at(ReplicaLoss& loss, std::span<const std::optional<step::AttemptKey>> marks) {
  if (loss.cause != LossCause::kDiedOfItself) return;
  for (std::size_t rank = 0; rank < marks.size(); ++rank) {
    if (!marks[rank]) continue;
    loss.at_work.push_back(*marks[rank]);
    loss.blamed.push_back(static_cast<std::uint32_t>(rank));
  }
  const auto rising = [](auto& values) {
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
  };
  rising(loss.at_work);
  rising(loss.blamed);
}

}  // namespace herd::routing
