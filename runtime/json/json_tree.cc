#include "runtime/json/json_tree.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>

namespace herd::json {
namespace {

namespace json = boost::json;

constexpr std::size_t kFirstBufferBytes = 8192;  // a chat body of a few messages fits without a second allocation

json::parse_options options_of(const JsonRules& rules) {
  json::parse_options options;
  options.max_depth = rules.depth_max;
  return options;
}

// What both handlers below do with an event that does not concern them.
struct IgnoreEvents {
  static constexpr std::size_t max_array_size = -1;
  static constexpr std::size_t max_object_size = -1;
  static constexpr std::size_t max_string_size = -1;
  static constexpr std::size_t max_key_size = -1;
  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) { return true; }
  bool on_object_end(std::size_t, json::error_code&) { return true; }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t, json::error_code&) { return true; }
  bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

// Builds the tree; counts values and members, remembers the top-level field it is in.
struct TreeBuilder : IgnoreEvents {
  json::value_stack stack;
  std::size_t values = 0;
  std::size_t members = 0;
  std::size_t open_objects = 0;
  std::size_t open_arrays = 0;
  const JsonRules& rules;
  bool too_many_values = false;
  bool too_many_members = false;
  std::string key_start;  // of a key that comes in parts
  std::string field;

  TreeBuilder(const JsonRules& limits, unsigned char* buffer, std::size_t bytes)
      : stack(json::storage_ptr(), buffer, bytes), rules(limits) {}

  bool count(json::error_code& error) {
    if (++values <= rules.values_max) return true;
    too_many_values = true;
    error = json::error::array_too_large;  // any code stops the parser
    return false;
  }
  bool on_object_begin(json::error_code& error) {
    ++open_objects;
    return count(error);
  }
  bool on_object_end(std::size_t size, json::error_code& error) {
    --open_objects;
    members += size;
    if (size > rules.members_max) {
      too_many_members = true;
      if (open_objects + open_arrays == 0) field.clear();  // it is the text's own object, and not in a field of it
      error = json::error::object_too_large;
      return false;
    }
    stack.push_object(size);
    return true;
  }
  bool on_array_begin(json::error_code& error) {
    ++open_arrays;
    return count(error);
  }
  bool on_array_end(std::size_t size, json::error_code&) {
    --open_arrays;
    stack.push_array(size);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    if (open_objects == 1 && open_arrays == 0) key_start.append(part.data(), part.size());
    stack.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code&) {
    if (open_objects == 1 && open_arrays == 0) {
      field = std::exchange(key_start, {});
      field.append(part.data(), part.size());
    }
    stack.push_key(part);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    stack.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code& error) {
    stack.push_string(part);
    return count(error);
  }
  bool on_int64(std::int64_t number, json::string_view, json::error_code& error) {
    stack.push_int64(number);
    return count(error);
  }
  bool on_uint64(std::uint64_t number, json::string_view, json::error_code& error) {
    stack.push_uint64(number);
    return count(error);
  }
  // The library's own conversion is an ulp off at times and loses subnormal numbers. Out of range: its infinity or 0.
  bool on_double(double number, json::string_view text, json::error_code& error) {
    double exact = 0.0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), exact);
    stack.push_double(problem == std::errc() && end == text.data() + text.size() ? exact : number);
    return count(error);
  }
  bool on_bool(bool truth, json::error_code& error) {
    stack.push_bool(truth);
    return count(error);
  }
  bool on_null(json::error_code& error) {
    stack.push_null();
    return count(error);
  }
};

// Second reading, only of a text that is known to hold a key twice: which one? Ordered sets, because whoever writes the text
// can choose keys that all have the same hash.
struct DuplicateFinder : IgnoreEvents {
  std::vector<std::set<std::string>> open_objects;
  std::string key;
  std::string duplicate;

  bool on_object_begin(json::error_code&) {
    open_objects.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) {
    open_objects.pop_back();
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& error) {
    key.append(part.data(), part.size());
    if (!open_objects.back().insert(key).second) {
      duplicate = key;
      error = json::error::exception;  // any code stops the parser
      return false;
    }
    key.clear();
    return true;
  }
};

// Members that are left after equal keys were merged.
std::size_t count_members(const json::value& value) {
  std::size_t members = 0;
  if (const json::object* object = value.if_object()) {
    members = object->size();
    for (const auto& [key, member] : *object) members += count_members(member);
  } else if (const json::array* array = value.if_array()) {
    for (const json::value& element : *array) members += count_members(element);
  }
  return members;
}

JsonProblem key_twice(std::string_view text, const JsonRules& rules) {
  json::basic_parser<DuplicateFinder> parser(options_of(rules));
  json::error_code error;
  parser.write_some(false, text.data(), text.size(), error);
  return {JsonProblem::Kind::kKeyTwice, 0, {}, parser.handler().duplicate};
}

JsonProblem not_json(const TreeBuilder& builder, std::size_t byte, const json::error_code& error) {
  JsonProblem problem{JsonProblem::Kind::kNotJson, byte, error.message(), builder.field};
  if (error == json::error::too_deep) problem.kind = JsonProblem::Kind::kTooDeep;
  if (builder.too_many_values) problem.kind = JsonProblem::Kind::kTooManyValues;
  if (builder.too_many_members) problem.kind = JsonProblem::Kind::kTooManyMembers;
  return problem;
}

}  // namespace

struct JsonTree::Memory {
  std::array<unsigned char, kFirstBufferBytes> buffer;
  json::monotonic_resource resource{buffer.data(), buffer.size()};
  json::value root;
};

JsonTree::JsonTree(std::unique_ptr<Memory> memory, json::value& root) : memory_(std::move(memory)), root_(&root) {}
JsonTree::JsonTree(JsonTree&&) noexcept = default;
JsonTree& JsonTree::operator=(JsonTree&&) noexcept = default;
JsonTree::~JsonTree() = default;

tl::expected<JsonTree, JsonProblem> JsonTree::parse(std::string_view text, const JsonRules& rules) {
  std::unique_ptr<Memory> memory(new Memory);  // not make_unique: the buffer stays uninitialised
  std::array<unsigned char, 4096> stack_buffer;
  json::basic_parser<TreeBuilder> parser(options_of(rules), rules, stack_buffer.data(), stack_buffer.size());
  TreeBuilder& builder = parser.handler();
  builder.stack.reset(&memory->resource);
  json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (error) return tl::unexpected(not_json(builder, read, error));
  // The value must be made in the tree's own memory: assigning across storages would copy it.
  std::destroy_at(&memory->root);
  std::construct_at(&memory->root, builder.stack.release());
  if (rules.unique_keys && count_members(memory->root) != builder.members) return tl::unexpected(key_twice(text, rules));
  json::value& root = memory->root;
  return JsonTree(std::move(memory), root);
}

}  // namespace herd::json
