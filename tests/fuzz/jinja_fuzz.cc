// libFuzzer: chat templates. Whatever the bytes: an error with a message, or a template that renders or gives an error,
// the same one each time, within its limits.
#include "endpoint/jinja/template.h"
#include "runtime/text/utf8.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::jinja;
  Limits limits;
  limits.steps_max = 50'000;
  limits.value_bytes_max = std::size_t{1} << 20;
  limits.output_bytes_max = std::size_t{1} << 18;
  const auto compiled = Template::compile(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!compiled) return compiled.error().message().empty() ? (std::abort(), 0) : 0;
  const auto turn = [](const char* role, const char* content) {
    return make_dict({{"role", Value::text(role)}, {"content", Value::text(content)}});
  };
  const Variables variables = {
      {"messages", make_list({turn("system", " Be brief. "), turn("user", "\xC3\xA4\n"), turn("assistant", ""), turn("user", "Hi")})},
      {"bos_token", Value::text("<s>")}, {"eos_token", Value::text("</s>")}, {"tools", Value::none()},
      {"add_generation_prompt", Value::boolean(true)}, {"date_string", Value::text("26 Jul 2024")}};
  const auto first = compiled->render(variables, CivilTime{});
  const auto second = compiled->render(variables, CivilTime{});
  if (first.has_value() != second.has_value()) std::abort();
  if (!first) return first.error() == second.error() ? 0 : (std::abort(), 0);
  if (*first != *second || first->size() > limits.output_bytes_max) std::abort();
  if (!herd::tokenizer::is_valid_utf8(*first)) std::abort();
  return 0;
}
