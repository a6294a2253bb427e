#include "tests/sim/request_book.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cluster/replica/block_fetches.h"

namespace herd::sim {

void SimRequest::begin_again(std::uint32_t max_model_len) {
  state = State::kToCome;
  taken_up = true;
  left = false;
  unread = 0;
  for (SimChoice& choice : choices) {
    SimChoice again(choice.asked, max_model_len);
    again.request = choice.request;
    again.number = choice.number;
    again.enough = choice.enough;
    again.fatal_from = choice.fatal_from;
    again.not_finite = choice.not_finite;
    choice = std::move(again);
  }
}

RequestBook::RequestBook(World& world) : world_(world), chance_(world.script_chance("prefixes")) {
  for (int i = 0; i < 3; ++i) {
    auto& prefix = prefixes_.emplace_back(world.options.prompt_tokens_max);
    for (TokenId& token : prefix) token = static_cast<TokenId>(chance_.below(kVocabSize));
  }
  std::int64_t rows = 0;
  for (std::uint32_t index = 0; index < world.options.requests; ++index) {
    chance_ = world.script_chance("request " + std::to_string(index));
    const SimRequest& request = requests_.emplace_back(draw_request(index));
    for (const SimChoice& choice : request.choices) {
      by_seed_[choice.asked.sampling.seed] = {index, choice.number};
      rows += std::int64_t{choice.asked.prompt_tokens + choice.asked.max_tokens} * (choice.asked.max_tokens + 1);
    }
  }
  // Whoever waits for blocks of another replica may wait in vain, one after the other.
  const double waits_s = world.options.moves ? 2 * replica::BlockFetches::kSecondsLeast * static_cast<double>(by_seed_.size()) : 0;
  // Poison may be in anybody's way twice.
  world.work_us = (rows + 100) * (world.options.step_us_max + 2 * world.options.message_us_max) * 2 +
                  static_cast<std::int64_t>(4e6 * world.options.retry_max_s * (world.options.requests * 4 + 4) + 1e6 * waits_s);
  chance_ = world.script_chance("deadlines");
  for (SimRequest& request : requests_) {
    draw_deadline(request);
    take_into_script(request);
  }
  draw_poison();
}

void RequestBook::take_into_script(SimRequest& request) {
  const bool comes = world_.script
                         .add(request.arrives, "a request of tenant " + std::to_string(request.asked.tenant.value) + " at gateway " +
                                                   std::to_string(request.gateway) + ": " + std::to_string(request.choices.size()) +
                                                   " choices, " + std::to_string(request.asked.prompt_tokens) + " tokens in, " +
                                                   std::to_string(request.asked.output_tokens_max) + " out")
                         .has_value();
  if (!comes) request.state = SimRequest::State::kGone;
}

void RequestBook::draw_poison() {
  for (std::uint32_t i = 0; i < world_.options.poison_requests; ++i) {
    chance_ = world_.script_chance("poison " + std::to_string(i));
    const std::uint64_t index = chance_.below(requests_.size());
    SimRequest& request = requests_[index];
    if (request.choices.empty()) continue;
    SimChoice& choice = request.choices[chance_.below(request.choices.size())];
    const auto position = 1 + static_cast<std::uint32_t>(chance_.below(choice.asked.prompt_tokens + choice.asked.max_tokens));
    if (world_.script.add(request.arrives, "position " + std::to_string(position) + " of request " + std::to_string(index) + ", choice " +
                                               std::to_string(choice.number) + ", is poison"))
      choice.fatal_from = position;
  }
}

SimChoice* RequestBook::choice_of(std::uint64_t sampling_seed) {
  const auto found = by_seed_.find(sampling_seed);
  return found == by_seed_.end() ? nullptr : &requests_[found->second.first].choices[found->second.second];
}

SimRequest RequestBook::draw_request(std::uint32_t index) {
  const SimOptions& options = world_.options;
  SimRequest request;
  request.bad = chance_.percent(options.bad_percent);
  request.gateway = static_cast<std::uint32_t>(chance_.below(options.gateways));
  request.arrives = {1 + static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(options.arrivals_us))) * 1000};
  gateway::GatewayRequest& asked = request.asked;
  asked.tenant = admission::TenantId(chance_.below(options.tenants));
  if (options.flood) {
    const bool light = index % 20 == 19;
    asked.tenant = admission::TenantId(light ? 1 + chance_.below(options.tenants - 1) : 0);
    request.arrives = {1 + static_cast<std::int64_t>(chance_.below(1000)) * (light ? 2000 : 1000)};
  }
  if (options.admission.priorities) asked.priority = static_cast<std::int32_t>(chance_.below(3)) - 1;
  asked.sequences = chance_.below(40) == 0 ? 0 : 1 + static_cast<std::uint32_t>(chance_.below(options.choices_max));
  for (std::uint32_t number = 0; number < asked.sequences; ++number) {
    SimChoice& choice = request.choices.emplace_back(draw_submission(index, number, request.bad),
                                                     options.scheduler.max_model_len);
    choice.request = index;
    choice.number = number;
    choice.asked.priority = asked.priority;
    if (chance_.percent(options.stops_percent))
      choice.enough = 1 + static_cast<std::uint32_t>(chance_.below(options.emitted_tokens_max));
    asked.prompt_tokens += choice.asked.prompt_tokens;
    asked.output_tokens_max += choice.asked.max_tokens;
  }
  request.takes_up = chance_.percent(options.taken_up_percent);
  const bool slow = chance_.percent(options.slow_percent);
  asked.credit = slow ? 1 + chance_.below(4) : std::size_t{1} << 20;
  request.read_us_max = slow ? 20'000 : 0;
  if (chance_.percent(options.leaves_percent))
    request.leaves_after_us = static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(options.arrivals_us)));
  if (chance_.percent(options.resumed_percent)) asked.numerics = chance_.below(options.numerics_ids) == 0 ? "toy-0" : "toy-1";
  return request;
}

step::Submission RequestBook::draw_submission(std::uint32_t index, std::uint32_t choice, bool bad) {
  const SimOptions& options = world_.options;
  step::Submission submission;
  std::size_t shared = chance_.below(options.prompt_tokens_max + 1);
  if (options.alike && chance_.percent(70)) shared = options.prompt_tokens_max - chance_.below(options.prompt_tokens_max / 4 + 1);
  const auto& prefix = prefixes_[chance_.below(prefixes_.size())];
  submission.tokens.assign(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(shared));
  do {
    submission.tokens.push_back(static_cast<TokenId>(chance_.below(kVocabSize)));
  } while (submission.tokens.size() < options.prompt_tokens_max && chance_.below(8) != 0);
  submission.tokens.resize(std::min<std::size_t>(submission.tokens.size(), options.prompt_tokens_max));
  if (bad) submission.tokens.resize(options.scheduler.max_model_len + 1, 0);  // too long for any replica
  submission.prompt_tokens = static_cast<std::uint32_t>(submission.tokens.size());
  submission.max_tokens = 1 + static_cast<std::uint32_t>(chance_.below(options.emitted_tokens_max));
  submission.sampling.seed = options.seed << 20 | std::uint64_t{index} << 4 | choice;
  submission.sampling.choice = choice;
  submission.sampling.temperature = 1.0F;
  submission.eos_ids = {static_cast<TokenId>(chance_.below(kVocabSize))};
  submission.sampling.ignore_eos = chance_.below(2) == 0;
  submission.sampling.min_tokens = static_cast<std::uint32_t>(chance_.below(4));
  if (chance_.below(4) == 0) submission.output = step::OutputSelector::kPromptLogprobs;
  return submission;
}

void RequestBook::draw_deadline(SimRequest& request) {
  const SimOptions& options = world_.options;
  request.patient = !chance_.percent(options.short_deadline_percent);
  const std::int64_t us = request.patient ? options.faults_us + 2 * options.arrivals_us + 8 * world_.work_us
                                          : chance_.us_up_to(options.short_deadline_us_max);
  request.asked.deadline = {request.arrives.ns + us * 1000};
  request.patience_us = us;
}

}  // namespace herd::sim
