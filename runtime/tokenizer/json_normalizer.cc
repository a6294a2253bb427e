#include "runtime/tokenizer/json_normalizer.h"

#include <boost/json.hpp>

#include <array>
#include <utility>

#include "runtime/text/base64.h"
#include "runtime/tokenizer/json_fields.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;
using Kind = NormalizerStep::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 5> kPlain = {
    {{"NFC", Kind::kNfc}, {"NFD", Kind::kNfd}, {"NFKC", Kind::kNfkc}, {"NFKD", Kind::kNfkd}, {"Lowercase", Kind::kLowercase}}};

Status read_replace(const json::object& object, const std::string& where, NormalizerStep& step) {
  auto pattern = read_json_pattern(object, where);
  if (!pattern) return pattern.error();
  const auto content = json_text(object, "content");
  if (!content) return bad_input(where + ".content: not a text");
  step.kind = Kind::kReplace;
  step.pattern = std::move(pattern->text);
  step.is_regex = pattern->is_regex;
  step.content = *content;
  if (step.is_regex && step.content.find('$') != std::string::npos) {
    return bad_input(where + ".content: groups of the pattern ('$') are not supported");
  }
  return {};
}

Status read_step(const json::object& object, const std::string& where, NormalizerStep& step) {
  const std::string_view type = json_type(object);
  for (const auto& [name, kind] : kPlain) {
    if (type != name) continue;
    step.kind = kind;
    return {};
  }
  if (type == "Replace") return read_replace(object, where, step);
  if (type == "Prepend") {
    const auto content = json_text(object, "prepend");
    if (!content) return bad_input(where + ".prepend: not a text");
    step.kind = Kind::kPrepend;
    step.content = *content;
    return {};
  }
  if (type == "Precompiled") {
    auto charsmap = text::base64_decode(json_text(object, "precompiled_charsmap").value_or(std::string_view()));
    if (!charsmap || charsmap->empty()) return bad_input(where + ".precompiled_charsmap: not base64");
    step.kind = Kind::kPrecompiled;
    step.pattern = std::move(*charsmap);
    return {};
  }
  if (type == "Strip") {
    step.kind = Kind::kStrip;
    if (Status status = read_json_flag(object, "strip_left", where, step.left); !status.ok()) return status;
    return read_json_flag(object, "strip_right", where, step.right);
  }
  return bad_input(where + ".type: '" + std::string(type) +
                   "' is not supported (NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, "
                   "Precompiled, Sequence are)");
}

}  // namespace

Expected<std::vector<NormalizerStep>> read_json_normalizer(const json::value& normalizer) {
  std::vector<NormalizerStep> steps;
  const auto read = [&](const json::object& object, const std::string& where, bool) {
    return read_step(object, where, steps.emplace_back());
  };
  if (Status status = for_each_component(normalizer, "normalizers", "normalizer", read); !status.ok()) return fail(std::move(status));
  return steps;
}

}  // namespace herd::tokenizer
