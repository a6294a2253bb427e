#include "tests/sim/request_book.h"

#include <algorithm>
#include <utility>

namespace herd::sim {

RequestBook::RequestBook(World& world) : world_(world) {
  for (int i = 0; i < 3; ++i) {
    auto& prefix = prefixes_.emplace_back(world.options.prompt_tokens_max);
    for (TokenId& token : prefix) token = static_cast<TokenId>(world.below(kVocabSize));
  }
  std::int64_t rows = 0;
  for (std::uint32_t index = 0; index < world.options.requests; ++index) {
    const SimRequest& request = requests_.emplace_back(draw_request(index));
    for (const SimChoice& choice : request.choices) {
      by_seed_[choice.asked.sampling.seed] = {index, choice.number};
      rows += std::int64_t{choice.asked.prompt_tokens + choice.asked.max_tokens} * (choice.asked.max_tokens + 1);
    }
  }
  // Poison may be in anybody's way twice.
  world.work_us = (rows + 100) * (world.options.step_us_max + 2 * world.options.message_us_max) * 2 +
                  static_cast<std::int64_t>(4e6 * world.options.retry_max_s * (world.options.requests * 4 + 4));
  for (SimRequest& request : requests_) draw_deadline(request);
  for (std::uint32_t i = 0; i < world.options.poison_requests; ++i) {
    SimRequest& request = requests_[world.below(requests_.size())];
    if (request.choices.empty()) continue;
    SimChoice& choice = request.choices[world.below(request.choices.size())];
    choice.fatal_from = 1 + static_cast<std::uint32_t>(world.below(choice.asked.prompt_tokens + choice.asked.max_tokens));
  }
}

SimChoice* RequestBook::choice_of(std::uint64_t sampling_seed) {
  const auto found = by_seed_.find(sampling_seed);
  return found == by_seed_.end() ? nullptr : &requests_[found->second.first].choices[found->second.second];
}

SimRequest RequestBook::draw_request(std::uint32_t index) {
  const SimOptions& options = world_.options;
  SimRequest request;
  request.bad = world_.percent(options.bad_percent);
  request.gateway = static_cast<std::uint32_t>(world_.below(options.gateways));
  request.arrives = {1 + static_cast<std::int64_t>(world_.below(static_cast<std::uint64_t>(options.arrivals_us))) * 1000};
  gateway::GatewayRequest& asked = request.asked;
  asked.tenant = admission::TenantId(world_.below(options.tenants));
  if (options.flood) {
    const bool light = index % 20 == 19;
    asked.tenant = admission::TenantId(light ? 1 + world_.below(options.tenants - 1) : 0);
    request.arrives = {1 + static_cast<std::int64_t>(world_.below(1000)) * (light ? 2000 : 1000)};
  }
  if (options.admission.priorities) asked.priority = static_cast<std::int32_t>(world_.below(3)) - 1;
  asked.sequences = world_.below(40) == 0 ? 0 : 1 + static_cast<std::uint32_t>(world_.below(options.choices_max));
  for (std::uint32_t number = 0; number < asked.sequences; ++number) {
    SimChoice& choice = request.choices.emplace_back(draw_submission(index, number, request.bad),
                                                     options.scheduler.max_model_len);
    choice.request = index;
    choice.number = number;
    choice.asked.priority = asked.priority;
    if (world_.percent(options.stops_percent))
      choice.enough = 1 + static_cast<std::uint32_t>(world_.below(options.emitted_tokens_max));
    asked.prompt_tokens += choice.asked.prompt_tokens;
    asked.output_tokens_max += choice.asked.max_tokens;
  }
  const bool slow = world_.percent(options.slow_percent);
  asked.credit = slow ? 1 + world_.below(4) : std::size_t{1} << 20;
  request.read_us_max = slow ? 20'000 : 0;
  if (world_.percent(options.leaves_percent))
    request.leaves_after_us = static_cast<std::int64_t>(world_.below(static_cast<std::uint64_t>(options.arrivals_us)));
  if (world_.percent(options.resumed_percent)) asked.numerics = world_.below(options.numerics_ids) == 0 ? "toy-0" : "toy-1";
  return request;
}

step::Submission RequestBook::draw_submission(std::uint32_t index, std::uint32_t choice, bool bad) {
  const SimOptions& options = world_.options;
  step::Submission submission;
  const std::size_t shared = world_.below(options.prompt_tokens_max + 1);
  const auto& prefix = prefixes_[world_.below(prefixes_.size())];
  submission.tokens.assign(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(shared));
  do {
    submission.tokens.push_back(static_cast<TokenId>(world_.below(kVocabSize)));
  } while (submission.tokens.size() < options.prompt_tokens_max && world_.below(8) != 0);
  submission.tokens.resize(std::min<std::size_t>(submission.tokens.size(), options.prompt_tokens_max));
  if (bad) submission.tokens.resize(options.scheduler.max_model_len + 1, 0);  // too long for any replica
  submission.prompt_tokens = static_cast<std::uint32_t>(submission.tokens.size());
  submission.max_tokens = 1 + static_cast<std::uint32_t>(world_.below(options.emitted_tokens_max));
  submission.sampling.seed = options.seed << 20 | std::uint64_t{index} << 4 | choice;
  submission.sampling.choice = choice;
  submission.sampling.temperature = 1.0F;
  submission.eos_ids = {static_cast<TokenId>(world_.below(kVocabSize))};
  submission.sampling.ignore_eos = world_.below(2) == 0;
  submission.sampling.min_tokens = static_cast<std::uint32_t>(world_.below(4));
  if (world_.below(4) == 0) submission.output = step::OutputSelector::kPromptLogprobs;
  return submission;
}

void RequestBook::draw_deadline(SimRequest& request) {
  const SimOptions& options = world_.options;
  request.patient = !world_.percent(options.short_deadline_percent);
  const std::int64_t us = request.patient ? options.faults_us + 2 * options.arrivals_us + 8 * world_.work_us
                                          : world_.us_up_to(options.short_deadline_us_max);
  request.asked.deadline = {request.arrives.ns + us * 1000};
}

}  // namespace herd::sim
