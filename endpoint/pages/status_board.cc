#include "endpoint/pages/status_board.h"

#include <string_view>

namespace herd::pages {

using observability::LogLevel;

namespace {

// Of admission::refusal_name(), and of what the endpoint refuses by itself.
std::string words_of(std::string_view reason) {
  if (reason == "queue_requests" || reason == "queue_tokens") return "refused (503): the queue is full";
  if (reason == "deadline") return "refused (503): the wait would outlast the request's time";
  if (reason == "no_replica") return "refused (503): no replica is left";
  if (reason == "request_rate") return "refused (429): a key's requests per minute";
  if (reason == "token_rate") return "refused (429): a key's tokens per minute";
  if (reason == "in_flight") return "refused (429): a key's requests in flight";
  if (reason == "text_pool") return "refused (503): too many wait to be read";
  return "refused: " + std::string(reason);
}

}  // namespace

void StatusBoard::look(const StatusLook& look) {
  const std::scoped_lock lock(mutex_);
  for (const Change& change : changes_.on_status(*look.status)) events_.add(change.level, change.what);
  tell_refusals(look);
  tell_coordinator(look);
  history_.add(look.sample, *look.status);
}

void StatusBoard::tell_refusals(const StatusLook& look) {
  for (const auto& [reason, times] : look.refused) {
    std::uint64_t& before = refused_[reason];
    if (times > before) events_.add(LogLevel::kWarning, words_of(reason), times - before);
    before = times;
  }
}

void StatusBoard::tell_coordinator(const StatusLook& look) {
  const bool hears = look.hears_coordinator.value_or(true);
  if (hears != hears_coordinator_)
    events_.add(hears ? LogLevel::kInfo : LogLevel::kWarning,
                hears ? "the coordinator is heard again" : "the coordinator is not heard: routing goes on by the last view");
  hears_coordinator_ = hears;
}

std::string StatusBoard::json(StatusLook look, std::int64_t now) const {
  StatusPicture picture;
  picture.server = server_;
  picture.now = now;
  picture.health = std::move(look.health);
  picture.reason = std::move(look.reason);
  picture.ready = look.ready;
  picture.hears_coordinator = look.hears_coordinator;
  picture.connections = look.connections;
  picture.refused = std::move(look.refused);
  picture.nodes = std::move(look.nodes);
  picture.events = events_.newest_first();
  const std::scoped_lock lock(mutex_);
  picture.history = history_.points();
  for (std::size_t i = 0; i < look.status->replicas.size(); ++i) {
    const routing::ReplicaView& view = look.status->view.replicas[i];
    const actors::ReplicaStatus& one = look.status->replicas[i];
    const NodePlace* node = node_of(view.route.address, picture.nodes);
    picture.replicas.push_back({.replica = one.replica,
                                .node = node != nullptr ? node->name : "",
                                .address = view.route.address,
                                .condition = condition_of(view, one),
                                .epoch = view.route.generation.epoch.value,
                                .status = one,
                                .rates = history_.rates_of(one.replica)});
  }
  picture.status = std::move(look.status);
  return status_json(picture);
}

}  // namespace herd::pages
