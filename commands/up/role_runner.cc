#include "commands/up/role_runner.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iterator>
#include <utility>
#include <variant>

#include "runtime/steady_clock.h"

namespace herd::up {
namespace {

ProcessEnd end_of(const children::ChildEnd& end) {
  return {children::end_text(end), end.by_signal ? std::nullopt : std::optional(end.code)};
}

std::chrono::milliseconds until(std::optional<Instant> due) {
  if (!due) return std::chrono::milliseconds(-1);
  return std::chrono::milliseconds(std::max<std::int64_t>(0, (due->ns - steady_now().ns) / 1'000'000 + 1));
}

}  // namespace

RoleRunner::RoleRunner(RoleRunnerConfig config)
    : config_(std::move(config)), core_(config_.processes, config_.up), pids_(config_.processes.size(), 0) {}

int RoleRunner::run() {
  UpEffects effects;
  core_.on_begin(effects);
  carry_out(std::move(effects));
  while (!exit_code_) {
    children_.poll(until(due()));
    if (config_.on_turn) config_.on_turn();
    UpEffects more;
    take_wishes(more);
    core_.on_timer(steady_now(), more);
    carry_out(std::move(more));
  }
  return *exit_code_;
}

std::optional<Instant> RoleRunner::due() const {
  const auto turn = config_.turn_due ? config_.turn_due() : std::nullopt, core = core_.due();
  return turn && core ? std::min(*turn, *core) : turn ? turn : core;
}

void RoleRunner::ready() {
  ready_wish_ = true;
  children_.wake();
}

void RoleRunner::stop() {
  ++stop_wishes_;
  children_.wake();
}

void RoleRunner::take_wishes(UpEffects& effects) {
  if (ready_wish_.exchange(false)) {
    core_.on_ready();
    if (config_.on_ready) config_.on_ready();
  }
  for (int wishes = stop_wishes_.exchange(0); wishes > 0; --wishes) core_.on_stop(steady_now(), effects);
}

// A start that fails is told to the core at once, which may want more: that waits behind what it wanted before.
void RoleRunner::carry_out(UpEffects effects) {
  const bool under_way = !waiting_.empty();
  waiting_.insert(waiting_.end(), std::make_move_iterator(effects.begin()), std::make_move_iterator(effects.end()));
  if (under_way) return;
  while (!waiting_.empty()) {
    std::visit([this](const auto& effect) { carry_out_one(effect); }, waiting_.front());
    waiting_.pop_front();
  }
}

void RoleRunner::carry_out_one(const StartProcess& start) {
  const HostProcess& process = config_.processes[start.process];
  children::ChildSpec spec = config_.spec_of(process);
  spec.captures_stdout = true;
  spec.captures_stderr = true;
  spec.own_group = true;  // Ctrl-C is ours to pass on, in order
  spec.environment.emplace_back("HERD_RESTARTS", std::to_string(start.restarts));
  spec.environment.emplace_back("HERD_LAST_DEATH", start.last_death);
  const auto pid = children_.start(
      spec, [this, name = process.name](std::string_view line, bool) { config_.on_line(name, line); },
      [this, index = start.process](const children::ChildEnd& end) { tell_core(index, end_of(end)); });
  if (!pid) return tell_core(start.process, {pid.error().message(), std::nullopt});
  pids_[start.process] = *pid;
  core_.on_started(start.process, steady_now());
}

void RoleRunner::carry_out_one(const EndProcess& end) {
  if (pids_[end.process] != 0) children_.signal(pids_[end.process], end.order == Order::kEnd ? SIGTERM : SIGKILL);
}

void RoleRunner::tell_core(std::size_t process, const ProcessEnd& end) {
  pids_[process] = 0;
  UpEffects effects;
  core_.on_ended(process, end, steady_now(), effects);
  carry_out(std::move(effects));
}

}  // namespace herd::up
