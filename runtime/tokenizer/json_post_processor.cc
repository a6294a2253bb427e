#include "runtime/tokenizer/json_post_processor.h"

#include <boost/json.hpp>

#include <string>
#include <utility>

#include "runtime/tokenizer/json_fields.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

// The ids that the template's `special_tokens` give for a name.
Status append_special(const json::object& processor, const std::string& where, std::string_view name, std::vector<TokenId>& side) {
  const json::value* specials = json_member(processor, "special_tokens");
  const json::value* entry = specials != nullptr && specials->is_object() ? json_member(specials->get_object(), name) : nullptr;
  const json::value* ids = entry != nullptr && entry->is_object() ? json_member(entry->get_object(), "ids") : nullptr;
  if (ids == nullptr || !ids->is_array()) {
    return bad_input(where + ".special_tokens['" + std::string(name) + "'].ids: missing");
  }
  for (const json::value& value : ids->get_array()) {
    const auto id = json_token_id(value);
    if (!id || side.size() >= kStagesMax) return bad_input(where + ".special_tokens: not a short list of token ids");
    side.push_back(*id);
  }
  return {};
}

// `single` is a list of {"SpecialToken": {"id": name}} around one {"Sequence": …}.
Status read_template(const json::object& processor, const std::string& where, JsonAround& around) {
  const json::value* single = json_member(processor, "single");
  if (single == nullptr || !single->is_array()) return bad_input(where + ".single: missing");
  bool text_seen = false;
  for (const json::value& piece : single->get_array()) {
    const json::object* object = piece.if_object();
    const json::value* special = object == nullptr ? nullptr : json_member(*object, "SpecialToken");
    if (special == nullptr) {
      if (object == nullptr || json_member(*object, "Sequence") == nullptr || text_seen) {
        return bad_input(where + ".single: must hold the text once, and special tokens");
      }
      text_seen = true;
      continue;
    }
    const auto name = special->is_object() ? json_text(special->get_object(), "id") : std::nullopt;
    if (!name) return bad_input(where + ".single: special token without id");
    std::vector<TokenId>& side = text_seen ? around.suffix : around.prefix;
    if (Status status = append_special(processor, where, *name, side); !status.ok()) return status;
  }
  if (!text_seen) return bad_input(where + ".single: must hold the text once, and special tokens");
  return {};
}

// `cls` before the text, `sep` behind it: [text, id] each.
Status read_pair(const json::object& processor, const std::string& where, const char* key, std::vector<TokenId>& side) {
  const json::value* pair = json_member(processor, key);
  const bool fits = pair != nullptr && pair->is_array() && pair->get_array().size() == 2;
  const auto id = fits ? json_token_id(pair->get_array()[1]) : std::nullopt;
  if (!id) return bad_input(where + "." + key + ": not [text, id]");
  side.push_back(*id);
  return {};
}

}  // namespace

Expected<JsonAround> read_json_post_processor(const json::value& post_processor) {
  JsonAround around;
  const auto read = [&](const json::object& processor, const std::string& where, bool) -> Status {
    const std::string_view type = json_type(processor);
    if (type == "ByteLevel") return {};
    const bool pair = type == "BertProcessing" || type == "RobertaProcessing";
    if (!pair && type != "TemplateProcessing") {
      return bad_input(where + ".type: '" + std::string(type) +
                       "' is not supported (ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence are)");
    }
    if (!around.prefix.empty() || !around.suffix.empty()) return bad_input(where + ": a second template");
    if (!pair) return read_template(processor, where, around);
    if (Status status = read_pair(processor, where, "cls", around.prefix); !status.ok()) return status;
    return read_pair(processor, where, "sep", around.suffix);
  };
  Status status = for_each_component(post_processor, "processors", "post_processor", read);
  if (!status.ok()) return fail(std::move(status));
  return around;
}

}  // namespace herd::tokenizer
