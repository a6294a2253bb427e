#include "observability/metrics_page.h"

#include <array>
#include <charconv>
#include <cmath>

#include "runtime/text/utf8.h"

namespace herd::observability {
namespace {

void append_label_value(std::string& out, std::string_view value) {
  for (const char c : text::replace_invalid_utf8(value)) {
    if (c == '\n') out += "\\n";
    else if (c == '"' || c == '\\') (out += '\\') += c;
    else out += c;
  }
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out.append(digits.data(), end);
  }
}

}  // namespace

void MetricsPage::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
  text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
}

void MetricsPage::sample(std::initializer_list<MetricLabel> labels, double value) {
  text_ += name_;
  char before = '{';
  for (const auto& [name, text] : labels) {
    (text_ += before).append(name).append("=\"");
    append_label_value(text_, text);
    text_ += '"';
    before = ',';
  }
  if (labels.size() > 0) text_ += '}';
  text_ += ' ';
  append_number(text_, value);
  text_ += '\n';
}

}  // namespace herd::observability
