#include "commands/config_reload.h"

#include <utility>
#include <variant>

#include "commands/cluster_spec_file.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

using observability::LogLevel;

std::string joined(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += (text.empty() ? "" : ", ") + key;
  return text.empty() ? "no key" : text;
}

}  // namespace

void ConfigReload::post(const reload::ReloadOrder& order) {
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_) {
      // A coordinator has one reload under way: the oldest of many are over.
      if (orders_.size() == kOrdersMax) orders_.pop_front();
      orders_.push_back(order);
    } else if (const auto* prepare = std::get_if<report::ReloadPrepare>(&order)) {
      return ground_.say(reload::ReloadVote::taken(prepare->number));
    } else {
      return ground_.say(reload::ReloadVote::taken(std::get<report::ReloadDecision>(order).number));
    }
  }
  ground_.wake();
}

void ConfigReload::carry_out() {
  for (;;) {
    reload::ReloadOrder order;
    {
      const std::scoped_lock lock(mutex_);
      if (orders_.empty()) return;
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    std::visit([this](const auto& it) { carry_out(it); }, order);
  }
}

void ConfigReload::close() {
  std::deque<reload::ReloadOrder> left;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    left = std::exchange(orders_, {});
  }
  for (const reload::ReloadOrder& order : left) post(order);
}

void ConfigReload::reload_alone() {
  const reload::Reading reading = read();
  if (!reading.status.ok())
    return log_.write(LogLevel::kError, "file not taken, what was read before stays", {{"reason", reading.status.message()}});
  vote_ = {};  // what was prepared for others is gone
  take(reading.changed);
}

void ConfigReload::carry_out(const report::ReloadPrepare& prepare) {
  const reload::Reading reading = read();
  const report::ReloadPrepared answer = vote_.on_prepare(prepare, reading, steady_now());
  if (!answer.status.ok())
    log_.write(LogLevel::kError, "the cluster's file cannot be taken here", {{"reason", answer.status.message()}});
  changed_ = reading.changed;
  ground_.say(answer);
}

void ConfigReload::carry_out(const report::ReloadDecision& decision) {
  if (!vote_.on_decision(decision, steady_now())) return;
  take(changed_);
  ground_.say(reload::ReloadVote::taken(decision.number));
}

reload::Reading ConfigReload::read() {
  reload::FileReading read = read_again(ground_.path, running_, ground_.role, ground_.name);
  if (read.reading.status.ok() && ground_.prepare) ground_.prepare(read);
  read_ = std::move(read.spec);
  return std::move(read.reading);
}

void ConfigReload::take(const std::vector<std::string>& changed) {
  running_ = read_;
  if (Status status = ground_.take(running_); !status.ok())
    log_.write(LogLevel::kError, "certificates not taken, the old ones stay", {{"reason", status.message()}});
  log_.write(LogLevel::kInfo, "cluster file read again", {{"changed", joined(changed)}});
}

}  // namespace herd::commands
