#pragma once
// MetricsPage: numbers that somebody else keeps, as text for Prometheus (format 0.0.4). Built anew for each scrape. Pure.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace herd::observability {

using MetricLabel = std::pair<std::string_view, std::string_view>;  // a value may be any bytes

class MetricsPage {
 public:
  // Begins a family; its samples follow. Names are the caller's to choose right, each family once.
  void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }
  void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }
  // A sample of the family begun last. NaN and infinities are such.
  void sample(std::initializer_list<MetricLabel> labels, double value);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void family(std::string_view name, std::string_view type, std::string_view help);

  std::string name_;
  std::string text_;
};

}  // namespace herd::observability
