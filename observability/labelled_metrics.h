#pragma once
// LabelledMetrics: one metric per combination of label values that only the event knows. Bounded: a value that a client
// could invent must not make a series. Any thread.

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace herd::observability {

template <typename Metric>
class LabelledMetrics {
 public:
  using Values = std::vector<std::string>;
  using Make = std::function<Metric&(const Values&)>;  // called once per combination, under the lock

  LabelledMetrics(std::size_t combinations_max, Make make) : max_(combinations_max), make_(std::move(make)) {}

  // Beyond the limit, all further combinations are one, with every value "other".
  Metric& at(std::initializer_list<std::string_view> values) {
    std::string key;
    for (const std::string_view value : values) (key += value) += '\0';
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = metrics_.find(key); found != metrics_.end()) return *found->second;
    }
    const std::unique_lock lock(mutex_);
    if (const auto found = metrics_.find(key); found != metrics_.end()) return *found->second;
    if (metrics_.size() < max_)
      return *metrics_.emplace(key, &make_(Values(values.begin(), values.end()))).first->second;
    if (other_ == nullptr) other_ = &make_(Values(values.size(), "other"));
    return *other_;
  }

  // visit(values, metric) of every combination, those that are counted together as "other" left out. Under the lock.
  template <typename Visit>
  void visit(Visit visit) const {
    const std::shared_lock lock(mutex_);
    for (const auto& [key, metric] : metrics_) visit(values_of(key), *metric);
  }

 private:
  static Values values_of(std::string_view key) {
    Values values;
    while (!key.empty()) {
      const std::size_t end = key.find('\0');
      values.emplace_back(key.substr(0, end));
      key.remove_prefix(end + 1);
    }
    return values;
  }

  const std::size_t max_;
  const Make make_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, Metric*> metrics_;  // values joined by NUL
  Metric* other_ = nullptr;
};

}  // namespace herd::observability
