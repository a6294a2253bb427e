#include "commands/up/up_core.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::up {
namespace {

using handshake::Role;

// Streams end where they are given out, then what computes them, then who knows of both.
constexpr Role kStages[] = {Role::kGateway, Role::kNode, Role::kCoordinator};
// Exit codes with which a command says that no repetition helps: usage, bad file, something missing (a port, too).
constexpr int kFirstRefusal = 2, kLastRefusal = 4;
constexpr int kOurBug = 1;

bool is_refusal(const ProcessEnd& end) { return end.exit_code && *end.exit_code >= kFirstRefusal && *end.exit_code <= kLastRefusal; }

}  // namespace

UpCore::UpCore(const std::vector<HostProcess>& processes, const UpConfig& config) : config_(config) {
  for (const HostProcess& process : processes) processes_.push_back({.what = process, .log = membership::RestartLog(config.budget)});
}

void UpCore::on_begin(UpEffects& effects) {
  for (std::size_t i = 0; i < processes_.size(); ++i) start(i, effects);
}

void UpCore::start(std::size_t process, UpEffects& effects) {
  Process& it = processes_[process];
  it.again_at.reset();
  it.running = true;
  effects.push_back(StartProcess{process, it.restarts, it.last_death});
}

void UpCore::on_started(std::size_t process, Instant now) { processes_[process].since = now; }

void UpCore::on_ended(std::size_t process, const ProcessEnd& end, Instant now, UpEffects& effects) {
  Process& it = processes_[process];
  HERD_CHECK(it.running, "a process ended that did not run");
  it.running = false;
  it.last_death = end.text;
  if (stage_) return go_on_stopping(now, effects);
  if (!ready_ && is_refusal(end)) {
    effects.push_back(Say{it.what.name + " " + end.text + ": the cluster does not start"});
    return stop_all(*end.exit_code, now, effects);
  }
  plan_restart(process, end, now, effects);
  if (any_left()) return;
  effects.push_back(Say{"nothing of the cluster runs here any more"});
  stop_all(kOurBug, now, effects);
}

void UpCore::plan_restart(std::size_t process, const ProcessEnd& end, Instant now, UpEffects& effects) {
  Process& it = processes_[process];
  const auto rest_s = it.log.on_ended(now);
  if (!rest_s) {
    effects.push_back(Say{it.what.name + " " + end.text + " and stays away: it ended " + std::to_string(it.log.ends()) +
                              " times within " + std::to_string(static_cast<int>(config_.budget.window_s)) +
                              " s (supervision.restart_budget)"});
    return;
  }
  const bool lived = now >= seconds_after(it.since, kLivedEnough_s);
  ++it.restarts;
  effects.push_back(Say{it.what.name + " " + end.text + ": it is started again (" + std::to_string(it.restarts) + ")"});
  if (lived || *rest_s <= 0) return start(process, effects);
  it.again_at = seconds_after(now, *rest_s);
}

void UpCore::on_stop(Instant now, UpEffects& effects) {
  if (over_) return;
  ++stops_;
  if (!stage_) {
    effects.push_back(Say{"stops: gateways finish their streams first; once more ends them at once"});
    return stop_all(exit_code_, now, effects);
  }
  if (stops_ == 2) {
    order_all(Order::kEnd, effects);
    kill_at_ = seconds_after(now, kHurry_s);
  } else if (stops_ > 2) {
    order_all(Order::kKill, effects);
  }
}

void UpCore::stop_all(int exit_code, Instant now, UpEffects& effects) {
  if (exit_code != 0) exit_code_ = exit_code;
  stops_ = std::max(stops_, 1);
  for (Process& process : processes_) process.again_at.reset();
  stage_ = 0;
  kill_at_.reset();
  go_on_stopping(now, effects);
}

// Enters the next stage once the present one has ended. A stage is entered when kill_at_ is empty.
void UpCore::go_on_stopping(Instant now, UpEffects& effects) {
  while (*stage_ < std::size(kStages)) {
    const Role role = kStages[*stage_];
    if (any_running(role)) {
      if (kill_at_) return;
      for (std::size_t i = 0; i < processes_.size(); ++i)
        if (processes_[i].running && processes_[i].what.role == role) effects.push_back(EndProcess{i, Order::kEnd});
      kill_at_ = seconds_after(now, grace_s());
      return;
    }
    ++*stage_;
    if (stops_ < 2) kill_at_.reset();  // who hurries has one end for all
  }
  if (std::exchange(over_, true)) return;
  effects.push_back(Over{exit_code_});
}

void UpCore::on_timer(Instant now, UpEffects& effects) {
  for (std::size_t i = 0; i < processes_.size(); ++i)
    if (processes_[i].again_at && *processes_[i].again_at <= now) start(i, effects);
  if (!stage_ || !kill_at_ || now < *kill_at_) return;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    const Process& it = processes_[i];
    if (!it.running || (stops_ < 2 && it.what.role != kStages[*stage_])) continue;
    effects.push_back(Say{it.what.name + " does not end and is killed"});
    effects.push_back(EndProcess{i, Order::kKill});
    exit_code_ = std::max(exit_code_, kOurBug);
  }
  kill_at_ = seconds_after(now, kHurry_s);  // again, should it be needed
}

std::optional<Instant> UpCore::due() const {
  std::optional<Instant> due;
  const auto sooner = [&due](const std::optional<Instant>& at) {
    if (at && (!due || *at < *due)) due = at;
  };
  for (const Process& process : processes_) sooner(process.again_at);
  if (stage_ && !over_) sooner(kill_at_);
  return due;
}

void UpCore::order_all(Order order, UpEffects& effects) {
  for (std::size_t i = 0; i < processes_.size(); ++i)
    if (processes_[i].running) effects.push_back(EndProcess{i, order});
}

bool UpCore::any_running(std::optional<Role> role) const {
  return std::ranges::any_of(processes_, [role](const Process& it) { return it.running && (!role || it.what.role == *role); });
}

bool UpCore::any_left() const {
  return std::ranges::any_of(processes_, [](const Process& it) { return it.running || it.again_at; });
}

double UpCore::grace_s() const {
  switch (kStages[*stage_]) {
    case Role::kGateway: return config_.gateway_drain_s + kGatewayGrace_s;
    case Role::kNode: return kNodeGrace_s;
    default: return kCoordinatorGrace_s;
  }
}

}  // namespace herd::up
