#include "runtime/checkpoint/tensor_names.h"

#include <optional>
#include <set>
#include <string_view>

namespace herd::model {
namespace {

constexpr std::string_view kBase = "model.";
constexpr std::string_view kHead = "lm_head.weight";
constexpr std::string_view kFirstLayer = "layers.0.self_attn.q_proj.weight";

// What stands before the decoder's own names.
std::optional<std::string> base_of(const std::vector<std::string>& names) {
  std::set<std::string> bases;
  for (const std::string& name : names) {
    if (!name.ends_with(kFirstLayer)) continue;
    const std::string base = name.substr(0, name.size() - kFirstLayer.size());
    if (base.empty() || base.back() == '.') bases.insert(base);
  }
  if (bases.contains(std::string(kBase)) || bases.size() != 1) return {};
  return *bases.begin();
}

bool is_decoder_name(std::string_view name) {
  for (const std::string_view part : {"layers.", "embed_tokens.", "norm."}) {
    if (name.starts_with(part)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> names_in_model(const std::vector<std::string>& names) {
  std::vector<std::string> result = names;
  const auto base = base_of(names);
  if (!base) return result;
  // The head lies beside the decoder: "a.lm_head.weight" beside "a.model.layers".
  std::string head = base->ends_with(kBase) ? base->substr(0, base->size() - kBase.size()) : *base;
  head += kHead;
  for (std::string& name : result) {
    if (name.starts_with(*base) && is_decoder_name(std::string_view(name).substr(base->size()))) {
      name.replace(0, base->size(), kBase);
    } else if (name == head) {
      name = kHead;
    }
  }
  return result;
}

}  // namespace herd::model
