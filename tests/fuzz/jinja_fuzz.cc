// libFuzzer: chat templates. Whatever the bytes: an error with a message, or a template that renders or gives an error,
// the same one each time, within its limits; marks are whole characters, and whose a text is does not change the text.
#include "endpoint/jinja/template.h"
#include "runtime/text/utf8.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using namespace herd::jinja;
namespace text = herd::text;

Variables variables(Value (*content)(std::string)) {
  const auto turn = [&](const char* role, const char* words) {
    return make_dict({{"role", Value::text(role)}, {"content", content(words)}});
  };
  return {{"messages", make_list({turn("system", " Be brief. "), turn("user", "\xC3\xA4\n"), turn("assistant", ""), turn("user", "Hi")})},
          {"bos_token", Value::text("<s>")}, {"eos_token", Value::text("</s>")}, {"tools", Value::none()},
          {"add_generation_prompt", Value::boolean(true)}, {"date_string", Value::text("26 Jul 2024")}};
}

Value own_text(std::string words) { return Value::text(std::move(words)); }

bool is_whole(const text::MarkedText& marked) {
  std::size_t last = 0;
  for (const text::ByteRange& range : marked.foreign) {
    const bool touches = last != 0 && range.begin == last;
    if (range.begin < last || touches || range.begin >= range.end || range.end > marked.bytes.size()) return false;
    if (!text::is_valid_utf8(std::string_view(marked.bytes).substr(last, range.begin - last))) return false;
    if (!text::is_valid_utf8(std::string_view(marked.bytes).substr(range.begin, range.end - range.begin))) return false;
    last = range.end;
  }
  return text::is_valid_utf8(std::string_view(marked.bytes).substr(last));
}

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Limits limits;
  limits.steps_max = 50'000;
  limits.value_bytes_max = std::size_t{1} << 20;
  limits.output_bytes_max = std::size_t{1} << 18;
  const auto compiled = Template::compile(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!compiled) {
    expect(!compiled.error().message().empty());
    return 0;
  }
  const auto first = compiled->render(variables(Value::foreign_text), CivilTime{});
  const auto second = compiled->render(variables(Value::foreign_text), CivilTime{});
  expect(first.has_value() == second.has_value());
  if (!first) {
    expect(first.error() == second.error());
    return 0;
  }
  expect(*first == *second && first->bytes.size() <= limits.output_bytes_max && is_whole(*first));
  const auto own = compiled->render(variables(own_text), CivilTime{});
  expect(own.has_value() && own->bytes == first->bytes && own->foreign.empty());
  return 0;
}
