// jinja_bench: milliseconds and bytes of memory that a chat template takes: a conversation of 50 turns, and templates
// that want as much as they can get. Those have to end within 100 ms and 16 MB, the conversation within 1 ms.
//
//   jinja_bench [TEMPLATE.jinja…]     the conversation through these as well
//
// CPU time of this thread, the least of five; memory is what operator new had given out at its peak.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <vector>

#include "endpoint/jinja/template.h"

namespace {

std::size_t held = 0;
std::size_t peak = 0;

void* take(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  held += malloc_usable_size(memory);
  peak = std::max(peak, held);
  return memory;
}

void give(void* memory) {
  if (memory != nullptr) held -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void operator delete(void* memory) noexcept { give(memory); }
void operator delete[](void* memory) noexcept { give(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { give(memory); }
void operator delete[](void* memory, std::size_t /*size*/) noexcept { give(memory); }

namespace {

using namespace herd::jinja;

double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

struct Row {
  const char* name;
  std::string source;
};

const std::string kLlama3 =
    "{{ bos_token }}{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('role') }}{% endif %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + (m['content'] | trim) + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

const std::vector<Row> kHostile = {
    {"loops in loops", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"},
    {"many turns", "{% for a in range(100000) %}{% for b in range(100) %}{{ a * b }}{% endfor %}{% endfor %}"},
    {"ranges", "{% for i in range(9999) %}{{ range(99999) | list | length }}{% endfor %}"},
    {"ranges kept", "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + (range(9999) | list) %}{% endfor %}"},
    {"text doubled", "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"},
    {"text replaced", "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}"},
    {"text one by one", "{% set ns = namespace(s='') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ 'abc' %}{% endfor %}"},
    {"output", "{% set s = 'x' * 4000 %}{% for i in range(99999) %}{{ s }}{% endfor %}"},
    {"marks", "{% set s = messages[0].content[:1] %}{% for i in range(99999) %}{{ 'x' }}{{ s }}{% endfor %}"},
    {"characters", "{% for c in 'x' * 4000000 %}{{ c }}{% endfor %}"},
    {"split", "{{ ('a ' * 2000000).split() | length }}"},
    {"split by a letter", "{{ ('ab' * 2000000).split('b') | length }}"},
    {"JSON", "{{ ([[1] * 1000] * 1000) | tojson(indent=100) }}"},
    {"JSON of shared lists", "{% set a = [1.5] * 1000 %}{% set b = [a] * 1000 %}{{ ([b] * 1000) | tojson }}"},
    {"printed lists", "{% set a = [1.5] * 1000 %}{% set b = [a] * 1000 %}{{ [b] * 1000 }}"},
    {"sort", "{{ range(99999) | reverse | list | sort | length }}"},
    {"unique", "{{ range(99999) | list | unique | list | length }}"},
    {"recursion", "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}"},
    {"recursion that branches", "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}"},
    {"lists in lists", "{% set ns = namespace(l=[]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l[:] }}{{ ns.l }}"},
    {"a tree", "{% for x in [[[[[[[[]]]]]]]] * 9 recursive %}{{ loop(range(9999)) }}{% endfor %}"},
    {"padding", "{% for i in range(9999) %}{{ '%9999s' % i }}{% endfor %}"},
    {"maps", "{{ ([['a'] * 1000] * 1000) | map('map', 'upper') | map('join') | join }}"},
    {"indention", "{{ ('\n' * 1000000) | indent(1000, blank=true) }}"},
    {"stars", "{% macro m() %}{{ varargs | length }}{% endmacro %}{% for i in range(999) %}{{ m(*range(99999)) }}{% endfor %}"},
    {"names", [] {
       std::string sets;
       for (int i = 0; i < 50000; ++i) sets += "{%set a" + std::to_string(i) + "=1%}";
       return sets;
     }()},
    {"a template of one megabyte", [] {
       std::string source;
       while (source.size() < 1'000'000) source += "{{a}}";
       return source;
     }()},
};

Variables variables() {
  std::vector<Value> turns = {make_dict({{"role", Value::text("system")}, {"content", Value::foreign_text("You are a helpful assistant.")}})};
  for (int i = 0; i < 50; ++i) {
    std::string words;
    for (int word = 0; word < 60; ++word) words += "word" + std::to_string(i * word) + " ";
    turns.push_back(make_dict({{"role", Value::text(i % 2 == 0 ? "user" : "assistant")}, {"content", Value::foreign_text(words)}}));
  }
  return {{"messages", make_list(std::move(turns))}, {"bos_token", Value::text("<|begin_of_text|>")},
          {"eos_token", Value::text("<|eot_id|>")}, {"tools", Value::none()}, {"add_generation_prompt", Value::boolean(true)}};
}

// Prints the row; whether it kept to the bound.
bool measure(const Row& row, double milliseconds_max, std::size_t bytes_max, const char* what_counts) {
  double least = 1e9;
  std::size_t bytes = 0;
  std::string end;
  for (int round = 0; round < 5; ++round) {
    const bool compiles = std::string_view(what_counts) == "all";
    const Variables given = variables();
    const std::size_t before = held;
    peak = held;
    double begin = now();
    const auto compiled = Template::compile(row.source);
    if (!compiles) begin = now();
    const auto text = compiled ? compiled->render(given, CivilTime{}) : herd::Expected<herd::text::MarkedText>(herd::fail(compiled.error()));
    least = std::min(least, now() - begin);
    bytes = std::max(bytes, peak - before);
    end = text ? std::to_string(text->bytes.size()) + " bytes" : text.error().message();
  }
  const bool holds = least <= milliseconds_max && bytes <= bytes_max;
  std::printf("%-28s %8.3f ms %8.2f MB  %s%s\n", row.name, least, static_cast<double>(bytes) * 1e-6, end.substr(0, 90).c_str(),
              holds ? "" : "   OVER");
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  bool holds = measure({"50 turns, rendered", kLlama3}, 1.0, std::size_t{16} << 20, "rendering");
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    const std::string path = argv[i];
    const std::string name = path.substr(path.rfind('/') + 1).substr(0, 28);
    holds = measure({name.c_str(), source}, 1.0, std::size_t{16} << 20, "rendering") && holds;
  }
  for (const Row& row : kHostile) holds = measure(row, 100.0, std::size_t{16} << 20, "all") && holds;
  return holds ? 0 : 1;
}
