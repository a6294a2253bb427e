#include "observability/recent_events.h"

#include <algorithm>

#include "runtime/text/utf8.h"

namespace herd::observability {
namespace {

// Whole characters only.
std::string fitting(const std::string& what) {
  std::string text = text::replace_invalid_utf8(what);
  if (text.size() <= RecentEvents::kTextBytesMax) return text;
  std::size_t end = RecentEvents::kTextBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text;
}

}  // namespace

void RecentEvents::add(LogLevel level, const std::string& what, std::uint64_t times) {
  const std::int64_t now = unix_seconds_();
  RecentEvent event{.number = 0, .at = now, .times = times, .level = level, .what = fitting(what)};
  const std::scoped_lock lock(mutex_);
  const auto before = std::ranges::find_if(events_, [&](const RecentEvent& old) {
    return old.level == level && old.what == event.what && now - old.at <= kAgain_s;
  });
  if (before != events_.end()) {
    event.times += before->times;
    events_.erase(before);
  }
  event.number = ++number_;
  events_.push_back(std::move(event));
  if (events_.size() > kEventsMax) events_.pop_front();
}

std::vector<RecentEvent> RecentEvents::newest_first() const {
  const std::scoped_lock lock(mutex_);
  return {events_.rbegin(), events_.rend()};
}

}  // namespace herd::observability
