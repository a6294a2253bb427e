#include "endpoint/jinja/filters.h"

#include <algorithm>
#include <iterator>

#include "endpoint/jinja/filter_table.h"

namespace herd::jinja {
namespace {

const Filter* find(std::string_view name) {
  for (const auto& table : {text_filters(), sequence_filters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace

bool is_filter(std::string_view name) { return find(name) != nullptr; }

bool is_unsupported_filter(std::string_view name) {
  constexpr std::string_view kLacking[] = {"filesizeformat", "groupby", "pprint", "random", "striptags", "truncate",
                                           "urlencode", "urlize", "wordwrap", "xmlattr"};
  return std::ranges::find(kLacking, name) != std::end(kLacking);
}

Value apply_filter(Evaluation& evaluation, std::string_view name, const Value& value, const Arguments& arguments) {
  if (!evaluation.spend()) return {};
  const Filter* filter = find(name);
  if (filter == nullptr) return evaluation.refuse("the filter \"" + std::string(name.substr(0, 40)) + "\" is not supported");
  return filter->apply(evaluation, value, arguments);
}

}  // namespace herd::jinja
