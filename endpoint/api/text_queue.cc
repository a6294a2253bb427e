#include "endpoint/api/text_queue.h"

#include <utility>

namespace herd::api {

std::optional<TextQueue::TaskId> TextQueue::push(TextTask task) {
  if (tasks_ >= bounds_.tasks || (tasks_ > 0 && bytes_ + task.bytes > bounds_.bytes)) return std::nullopt;
  if (const auto own = tenants_.find(task.tenant); own != tenants_.end()) {
    const Waiting& waiting = own->second;
    if (waiting.tasks.size() >= bounds_.tasks / 2 || waiting.bytes + task.bytes > bounds_.bytes / 2) return std::nullopt;
  }
  const TaskId id{.tenant = task.tenant, .number = next_number_++};
  const std::size_t bytes = task.bytes;
  std::map<std::uint64_t, TextTask> alone;  // first what may find no memory, so that nothing is counted that is not there
  alone.emplace(id.number, std::move(task));
  Waiting& waiting = tenants_[id.tenant];
  waiting.tasks.merge(alone);
  waiting.bytes += bytes;
  bytes_ += bytes;
  ++tasks_;
  return id;
}

std::optional<TextTask> TextQueue::pop() {
  if (empty()) return std::nullopt;
  auto next = tenants_.upper_bound(served_);
  if (next == tenants_.end()) next = tenants_.begin();
  served_ = next->first;
  return take(next, next->second.tasks.begin());
}

std::optional<TextTask> TextQueue::remove(const TaskId& id) {
  const auto tenant = tenants_.find(id.tenant);
  if (tenant == tenants_.end()) return std::nullopt;
  const auto at = tenant->second.tasks.find(id.number);
  if (at == tenant->second.tasks.end()) return std::nullopt;
  return take(tenant, at);
}

TextTask TextQueue::take(Tenants::iterator tenant, std::map<std::uint64_t, TextTask>::iterator at) {
  Waiting& waiting = tenant->second;
  TextTask task = std::move(at->second);
  waiting.tasks.erase(at);
  waiting.bytes -= task.bytes;
  bytes_ -= task.bytes;
  --tasks_;
  if (waiting.tasks.empty()) tenants_.erase(tenant);
  return task;
}

}  // namespace herd::api
