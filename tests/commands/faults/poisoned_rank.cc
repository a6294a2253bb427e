#include "tests/commands/faults/poisoned_rank.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/death_mark.h"

namespace herd::faults {
namespace {

template <class Number>
bool set(Number& field, std::string_view text) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), field);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

Expected<Poison> parse_poison(std::string_view text) {
  Poison poison;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const std::size_t equals = std::min(word.find('='), word.size() - 1);
    const std::string_view name = word.substr(0, equals), value = word.substr(equals + 1);
    const bool good = name == "token"      ? set(poison.token, value)
                      : name == "position" ? set(poison.position, value)
                      : name == "rank"     ? set(poison.rank.emplace(), value)
                                           : false;
    if (!good) return fail(usage_error("poison \"" + std::string(text) + "\": \"" + std::string(word) + "\" is no word of it"));
  }
  if (poison.token < 0) return fail(usage_error("poison \"" + std::string(text) + "\" names no token"));
  return poison;
}

void PoisonedRank::submit(const step::StepPlan& plan) {
  for (const SequenceId released : plan.released) poisoned_.erase(released);
  for (const step::SequenceStart& started : plan.started) {
    if (std::ranges::count(started.tokens, poison_.token) > 0) poisoned_.insert(started.sequence);
  }
  std::vector<std::uint64_t> ids;
  for (const step::SequenceSlice& slice : plan.slices) ids.push_back(slice.sequence.value);
  for (std::size_t number = 0; number < plan.slices.size(); ++number) {
    const step::SequenceSlice& slice = plan.slices[number];
    if (!poisoned_.contains(slice.sequence) || slice.position + slice.rows <= poison_.position) continue;
    const StepSequences sequences(ids);
    const WorkMark mark(static_cast<std::int32_t>(number));
    std::fprintf(stderr, "poison: dies of sequence %llu\n", static_cast<unsigned long long>(slice.sequence.value));
    std::abort();
  }
  executor_->submit(plan);
}

}  // namespace herd::faults
