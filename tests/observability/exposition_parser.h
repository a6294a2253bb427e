#pragma once
// A strict reader of the Prometheus text format 0.0.4, for tests: what a real scraper would refuse or misread is an
// error here, and so is what the format only recommends (HELP and TYPE before the samples, families in one piece).

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace herd::observability {

using SampleLabels = std::map<std::string, std::string>;

struct Sample {
  std::string name;  // with _bucket, _sum, _count where it is a histogram's
  SampleLabels labels;
  double value = 0;
};

struct ExposedFamily {
  std::string name;
  std::string help;
  std::string type;
  std::vector<Sample> samples;
};

struct Exposition {
  std::vector<ExposedFamily> families;
  std::string error;  // empty: the text is right; else the first thing that is not, with its line

  [[nodiscard]] const ExposedFamily* family(std::string_view name) const;
  // The one sample of that name and exactly these labels; NaN when there is none.
  [[nodiscard]] double value(std::string_view name, const SampleLabels& labels) const;
};

[[nodiscard]] Exposition parse_exposition(std::string_view text);

}  // namespace herd::observability
