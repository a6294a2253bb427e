#include "cluster/routing/route_choice.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace herd::routing {
namespace {

// Times that differ by less than an eighth are about the same: predictions are no better than that.
constexpr double kAlike = 1.125;
// As long as nobody knows times, a cached beginning is worth so many sequences more.
constexpr std::uint32_t kHolderLead = 4;

}  // namespace

std::size_t RouteChoice::best_of(std::span<const Candidate> able) const {
  struct Worth {
    std::uint64_t held = 0;
    double seconds = 0.0;
    std::uint32_t sequences = 0;
  };
  std::vector<Worth> worth;
  Best givers;
  const NumericsId* numerics = nullptr;  // of the givers
  for (const Candidate& candidate : able) {
    const NumericsId& its = candidate.view->route.numerics;
    if (numerics == nullptr || its != *numerics) givers = best_givers(its);
    numerics = &its;
    const std::uint64_t held = held_by(candidate.generation());
    const std::uint64_t tokens = tokens_to_compute(candidate, held, givers.but(*candidate.view));
    worth.push_back({held, candidate.load->seconds_of(tokens, candidate.running), candidate.sequences()});
  }
  const bool measured = std::ranges::all_of(able, [](const Candidate& candidate) { return candidate.load->is_measured(); });
  const double soonest = std::ranges::min(worth, {}, &Worth::seconds).seconds;
  const std::uint32_t fewest = std::ranges::min(worth, {}, &Worth::sequences).sequences;
  // What each is worth when times do not decide; the first of the best in turn.
  const auto rank = [&](std::size_t i) {
    const bool may_lead = measured || worth[i].sequences <= fewest + kHolderLead;
    const bool sent_last = holdings_.was_sent_last(able[i].generation());
    return std::tuple(may_lead ? worth[i].held : 0, may_lead && sent_last, -std::int64_t{worth[i].sequences});
  };
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < able.size(); ++i) {
    if (measured && worth[i].seconds > soonest * kAlike) continue;
    if (!best || rank(i) > rank(*best)) best = i;
  }
  return *best;
}

std::uint64_t RouteChoice::tokens_to_compute(const Candidate& candidate, std::uint64_t held, const Giver& giver) const {
  const std::uint64_t given = std::min(giver.tokens, tokens_);
  if (given <= held) return tokens_ - held;
  return tokens_ - given + candidate.load->tokens_as_long_as(given - held);
}

RouteChoice::Giver RouteChoice::giver_for(const ReplicaView& taker) const { return best_givers(taker.route.numerics).but(taker); }

RouteChoice::Best RouteChoice::best_givers(const NumericsId& numerics) const {
  Best best;
  if (holdings_.empty()) return best;
  for (const Candidate& giver : givers_) {
    const std::uint64_t tokens = holdings_.told(giver.generation());
    if (tokens <= best.second.tokens || giver.view->route.numerics != numerics) continue;
    best.second = {giver.view, tokens};
    if (best.second.tokens > best.first.tokens) std::swap(best.first, best.second);
  }
  return best;
}

}  // namespace herd::routing
