#include "tests/sim/script.h"

#include <utility>

#include "tests/sim/sim_options.h"

namespace herd::sim {
namespace {

struct Habit {
  std::uint32_t SimOptions::* how_often;
  const char* what;
};
constexpr Habit kHabits[] = {
    {&SimOptions::duplicates_percent, "deltas come twice"},
    {&SimOptions::repeats_percent, "submissions and losses come twice"},
    {&SimOptions::not_finite_per_million, "rows come out as NaN"},
    {&SimOptions::preempt_every_steps, "sequences are preempted"},
    {&SimOptions::lost_news_percent, "news of prefix caches are lost"},
    {&SimOptions::spoiled_percent, "blocks are damaged on the way"},
    {&SimOptions::broken_percent, "connections end while blocks move"},
    {&SimOptions::muted_percent, "moves fall silent"},
};
struct Trait {
  bool SimOptions::* is_on;
  const char* what;
};
constexpr Trait kTraits[] = {
    {&SimOptions::wire, "messages go through their codecs"},
    {&SimOptions::moves, "replicas take blocks from each other"},
    {&SimOptions::quotas, "tenants have quotas"},
    {&SimOptions::clock_jumps, "a coordinator's clock shows earlier times"},
    {&SimOptions::given_up, "in the end no node can hold anything"},
};

}  // namespace

std::optional<std::uint32_t> Script::add(Instant at, std::string what) {
  const auto number = static_cast<std::uint32_t>(events_.size());
  const bool kept = !only_ || only_->contains(number);
  events_.push_back({at, std::move(what), kept});
  return kept ? std::optional(number) : std::nullopt;
}

// Each has its number whether it is on or not, so that numbers of others do not depend on it.
SimOptions Script::with_habits(SimOptions options) {
  for (const Habit& habit : kHabits)
    if (!add({}, habit.what)) options.*habit.how_often = 0;
  for (const Trait& trait : kTraits)
    if (!add({}, trait.what)) options.*trait.is_on = false;
  return options;
}

}  // namespace herd::sim
