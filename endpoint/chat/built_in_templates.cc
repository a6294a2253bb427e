#include "endpoint/chat/built_in_templates.h"

#include <algorithm>
#include <initializer_list>

namespace herd::chat {
namespace {

constexpr std::string_view kLlamaTokens[] = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
constexpr std::string_view kChatMlTokens[] = {"<|im_start|>", "<|im_end|>"};

// Tools are written differently by every model that knows them, so a format cannot know them.
constexpr std::string_view kWithoutTools =
    "{%- if tools %}{{ raise_exception('the built-in chat formats know no tools; --chat-template FILE gives a template') }}"
    "{% endif -%}\n";

// Llama 3: no system turn unless given.
constexpr std::string_view kLlama30 = R"({{- '<|begin_of_text|>' -}}
{%- for message in messages -%}
  {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ message.content | trim ~ '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%})";

// Llama 3.1, 3.2, 3.3: always a system turn, with two dates.
constexpr std::string_view kLlama31 = R"({%- set day = date_string | default('26 Jul 2024') -%}
{%- set system = '' -%}
{%- set turns = messages -%}
{%- if messages[0].role == 'system' -%}
  {%- set system = messages[0].content | trim -%}
  {%- set turns = messages[1:] -%}
{%- endif -%}
{{- '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n' -}}
{{- 'Cutting Knowledge Date: December 2023\nToday Date: ' ~ day ~ '\n\n' ~ system ~ '<|eot_id|>' -}}
{%- for message in turns -%}
  {%- if message.role in ['tool', 'ipython'] -%}
    {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' ~ message.content | tojson ~ '<|eot_id|>' -}}
  {%- else -%}
    {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ message.content | trim ~ '<|eot_id|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%})";

constexpr std::string_view kChatMl = R"({%- for message in messages -%}
  {{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
{%- endif -%})";

// Before ChatML's turns: SmolLM2's default system message.
constexpr std::string_view kSmolLm2System = R"({%- if messages[0].role != 'system' -%}
  {{- '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' -}}
{%- endif -%}
)";

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

}  // namespace

std::span<const BuiltInTemplate> built_in_templates() {
  static const BuiltInTemplate kTemplates[] = {
      {"llama3", joined({kWithoutTools, kLlama30}), kLlamaTokens},
      {"llama3.1", joined({kWithoutTools, kLlama31}), kLlamaTokens},
      {"chatml", joined({kWithoutTools, kChatMl}), kChatMlTokens},
      {"smollm2", joined({kWithoutTools, kSmolLm2System, kChatMl}), kChatMlTokens}};
  return kTemplates;
}

const BuiltInTemplate* find_built_in_template(std::string_view name) {
  const auto templates = built_in_templates();
  const auto found = std::ranges::find(templates, name, &BuiltInTemplate::name);
  return found == templates.end() ? nullptr : &*found;
}

}  // namespace herd::chat
