// Line by line, then each histogram as a whole.
#include "tests/observability/exposition_parser.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

namespace herd::observability {
namespace {

bool name_character(char c, bool first, bool colon) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') return true;
  return (colon && c == ':') || (!first && c >= '0' && c <= '9');
}

// The longest name at the start of `rest`, taken off it.
std::string take_name(std::string_view& rest, bool colon) {
  std::size_t length = 0;
  while (length < rest.size() && name_character(rest[length], length == 0, colon)) ++length;
  std::string name(rest.substr(0, length));
  rest.remove_prefix(length);
  return name;
}

bool take(std::string_view& rest, std::string_view expected) {
  if (!rest.starts_with(expected)) return false;
  rest.remove_prefix(expected.size());
  return true;
}

std::optional<double> number_of(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  if (text == "NaN" || text == "Nan") return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// After the opening quote, up to and with the closing one.
std::optional<std::string> take_label_value(std::string_view& rest) {
  std::string value;
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '"') return value;
    if (c != '\\') {
      value += c;
      continue;
    }
    if (rest.empty()) return std::nullopt;
    const char escaped = rest.front();
    rest.remove_prefix(1);
    if (escaped != 'n' && escaped != '"' && escaped != '\\') return std::nullopt;
    value += escaped == 'n' ? '\n' : escaped;
  }
  return std::nullopt;
}

class Parser {
 public:
  Exposition parse(std::string_view text) {
    if (!text.empty() && text.back() != '\n') return failed("the last line has no end");
    while (!text.empty() && result_.error.empty()) {
      ++line_;
      const std::size_t end = text.find('\n');
      parse_line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    for (const ExposedFamily& family : result_.families) {
      if (result_.error.empty() && family.type == "histogram") check_histogram(family);
      if (result_.error.empty() && family.samples.empty()) fail(family.name + " has no samples");
    }
    return std::move(result_);
  }

 private:
  Exposition failed(const char* what) {
    fail(what);
    return std::move(result_);
  }
  void fail(const std::string& what) { result_.error = "line " + std::to_string(line_) + ": " + what; }

  void parse_line(std::string_view line) {
    if (line.empty()) return fail("an empty line");
    if (take(line, "# HELP ")) return parse_help(line);
    if (take(line, "# TYPE ")) return parse_type(line);
    if (line.front() == '#') return fail("a comment");
    parse_sample(line);
  }

  void parse_help(std::string_view line) {
    ExposedFamily family;
    family.name = take_name(line, true);
    if (family.name.empty() || !take(line, " ") || line.empty()) return fail("HELP without name or text");
    if (!names_.insert(family.name).second) return fail(family.name + " is there twice");
    family.help = line;
    result_.families.push_back(std::move(family));
  }

  void parse_type(std::string_view line) {
    const std::string name = take_name(line, true);
    if (result_.families.empty() || result_.families.back().name != name) return fail("TYPE without HELP before it");
    ExposedFamily& family = result_.families.back();
    if (!family.type.empty()) return fail("TYPE twice");
    if (!take(line, " ") || (line != "counter" && line != "gauge" && line != "histogram"))
      return fail("a strange TYPE");
    family.type = line;
    if (family.type == "counter" && !name.ends_with("_total")) fail("a counter whose name does not end in _total");
  }

  void parse_sample(std::string_view line) {
    Sample sample;
    sample.name = take_name(line, true);
    if (result_.families.empty() || result_.families.back().type.empty()) return fail("a sample without TYPE");
    ExposedFamily& family = result_.families.back();
    if (!belongs(sample.name, family)) return fail(sample.name + " stands under " + family.name);
    if (take(line, "{") && !parse_labels(line, sample)) return fail("bad labels");
    if (!take(line, " ")) return fail("no space before the value");
    const auto value = number_of(line);
    if (!value) return fail("bad value '" + std::string(line) + "'");
    sample.value = *value;
    if (family.type == "counter" && !(sample.value >= 0)) return fail("a counter below zero");
    if (!samples_.emplace(sample.name, sample.labels).second) return fail("a sample twice");
    family.samples.push_back(std::move(sample));
  }

  static bool belongs(const std::string& sample, const ExposedFamily& family) {
    if (family.type != "histogram") return sample == family.name;
    return sample == family.name + "_bucket" || sample == family.name + "_sum" || sample == family.name + "_count";
  }

  static bool parse_labels(std::string_view& line, Sample& sample) {
    while (true) {
      const std::string name = take_name(line, false);
      if (name.empty() || !take(line, "=\"")) return false;
      const auto value = take_label_value(line);
      if (!value || !sample.labels.emplace(name, *value).second) return false;
      if (take(line, "}")) return true;
      if (!take(line, ",")) return false;
    }
  }

  struct Series {
    std::map<double, double> buckets;  // le -> cumulative count
    bool ascending = true;
    std::optional<double> sum, count;
  };

  void check_histogram(const ExposedFamily& family) {
    std::map<SampleLabels, Series> all;
    for (const Sample& sample : family.samples) {
      SampleLabels labels = sample.labels;
      if (!sample.name.ends_with("_bucket")) {
        if (labels.contains("le")) return fail(sample.name + " has a label le");
        (sample.name.ends_with("_sum") ? all[labels].sum : all[labels].count) = sample.value;
        continue;
      }
      const auto bound = number_of(labels["le"]);
      if (!bound) return fail(sample.name + " has no le");
      labels.erase("le");
      Series& series = all[labels];
      if (!series.buckets.empty() && series.buckets.rbegin()->first >= *bound) series.ascending = false;
      series.buckets[*bound] = sample.value;
    }
    for (const auto& [labels, series] : all) {
      if (!series.sum || !series.count || series.buckets.empty()) return fail(family.name + " is not whole");
      if (!series.ascending) return fail(family.name + ": bounds do not rise");
      double before = 0;
      for (const auto& [bound, count] : series.buckets) {
        if (count < before) return fail(family.name + ": buckets are not cumulative");
        before = count;
      }
      if (!std::isinf(series.buckets.rbegin()->first)) return fail(family.name + ": no +Inf bucket");
      if (before != *series.count) return fail(family.name + ": the +Inf bucket is not the count");
    }
  }

  Exposition result_;
  std::size_t line_ = 0;
  std::set<std::string> names_;
  std::set<std::pair<std::string, SampleLabels>> samples_;
};

}  // namespace

const ExposedFamily* Exposition::family(std::string_view name) const {
  for (const ExposedFamily& family : families) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

double Exposition::value(std::string_view name, const SampleLabels& labels) const {
  for (const ExposedFamily& family : families) {
    for (const Sample& sample : family.samples) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

Exposition parse_exposition(std::string_view text) { return Parser().parse(text); }

}  // namespace herd::observability
