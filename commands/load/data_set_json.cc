#include "commands/load/data_set_json.h"

#include <filesystem>
#include <fstream>

#include <boost/json.hpp>

namespace herd::load {
namespace {

namespace json = boost::json;

constexpr std::size_t kRecordBytesMax = std::size_t{16} << 20;
constexpr std::int64_t kOutputTokensMax = 10'000'000;
// vLLM's filter (datasets/utils.py is_valid_sequence).
constexpr std::uint32_t kTokensMin = 4;
constexpr std::uint32_t kPromptTokensMax = 1024;
constexpr std::uint32_t kSumTokensMax = 2048;

std::uint32_t tokens_of(const DataSetOptions& options, const std::string& text) {
  if (options.count_tokens) return options.count_tokens(text);
  return static_cast<std::uint32_t>((text.size() + 3) / 4);
}

Status check_readable(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return missing(path + ": a folder, not a file");
  return std::ifstream(path).is_open() ? Status{} : missing(path + ": cannot be read");
}

Expected<json::object> parse_record(const std::string& text, const std::string& where) {
  json::parse_options bounded;
  bounded.max_depth = 64;
  json::error_code error;
  json::value value = json::parse(text, error, {}, bounded);
  if (error) return fail(bad_input(where + ": not JSON (" + error.message() + ")"));
  if (!value.is_object()) return fail(bad_input(where + ": not a JSON object"));
  return std::move(value.get_object());
}

Expected<PlannedRequest> custom_request(const DataSetOptions& options, const json::object& record,
                                        const std::string& where) {
  const json::value* prompt = record.if_contains("prompt");
  if (prompt == nullptr || !prompt->is_string() || prompt->get_string().empty())
    return fail(bad_input(where + ": needs \"prompt\", a string that is not empty"));
  PlannedRequest request;
  request.text = prompt->get_string();
  request.prompt_tokens = tokens_of(options, request.text);
  request.output_tokens = options.output_len;
  if (const json::value* output = record.if_contains("output_tokens"); output != nullptr && !output->is_null()) {
    if (!output->is_int64() || output->get_int64() < 1 || output->get_int64() > kOutputTokensMax)
      return fail(bad_input(where + ": \"output_tokens\" must be a whole number above 0"));
    request.output_tokens = static_cast<std::uint32_t>(output->get_int64());
  }
  return request;
}

std::string too_long(const std::string& where) {
  return where + ": longer than " + std::to_string(kRecordBytesMax) + " bytes";
}

// Cuts a file that is one JSON array into its elements, without holding the file: only strings, escapes and nesting
// are looked at, the element's own text is parsed afterwards.
class ArrayReader {
 public:
  explicit ArrayReader(const std::string& path) : path_(path), file_(path, std::ios::binary) {}

  // True with the next element's text; false at the end of the array. kBadInput.
  Expected<bool> next(std::string& element);

 private:
  int get() { return file_.rdbuf()->sbumpc(); }  // below 0 at the end
  int get_visible() {                            // the next byte that is not white space
    int byte = get();
    while (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') byte = get();
    return byte;
  }
  [[nodiscard]] Status broken(const char* what) const { return bad_input(path_ + ": " + what); }
  Status read_element(int first, std::string& element);

  std::string path_;
  std::ifstream file_;
  bool started_ = false;
};

Expected<bool> ArrayReader::next(std::string& element) {
  element.clear();
  int byte = get_visible();
  if (!started_) {
    if (byte != '[') return fail(broken("a ShareGPT file is a JSON array of conversations"));
    started_ = true;
    byte = get_visible();
    if (byte == ']') return false;
  } else if (byte == ']') {
    return false;
  } else if (byte != ',') {
    return fail(broken("the array breaks off, or two conversations lack a comma"));
  } else {
    byte = get_visible();
  }
  if (byte != '{') return fail(broken("an element of the array is no object"));
  if (Status status = read_element(byte, element); !status.ok()) return fail(status);
  return true;
}

Status ArrayReader::read_element(int first, std::string& element) {
  int depth = 0;
  bool in_string = false;
  bool escaped = false;
  for (int byte = first;; byte = get()) {
    if (byte < 0) return broken("ends inside a conversation");
    if (element.size() == kRecordBytesMax) return bad_input(too_long(path_ + ": a conversation"));
    element.push_back(static_cast<char>(byte));
    if (in_string) {
      if (!escaped && byte == '"') in_string = false;
      escaped = !escaped && byte == '\\';
    } else if (byte == '"') {
      in_string = true;
    } else if (byte == '{' || byte == '[') {
      ++depth;
    } else if (byte == '}' || byte == ']') {
      if (--depth == 0) return {};
    }
  }
}

// The text of a turn ("value"), or null.
const json::string* turn(const json::array& turns, std::size_t index) {
  const json::object* fields = turns[index].if_object();
  const json::value* value = fields == nullptr ? nullptr : fields->if_contains("value");
  return value == nullptr ? nullptr : value->if_string();
}

// False: not one that vLLM would take.
bool sharegpt_request(const DataSetOptions& options, const json::object& record, PlannedRequest& request) {
  const json::value* turns = record.if_contains("conversations");
  if (turns == nullptr || !turns->is_array() || turns->get_array().size() < 2) return false;
  const json::string* prompt = turn(turns->get_array(), 0);
  const json::string* reply = turn(turns->get_array(), 1);
  if (prompt == nullptr || reply == nullptr) return false;
  request.text = *prompt;
  request.prompt_tokens = tokens_of(options, request.text);
  request.output_tokens = options.output_len > 0 ? options.output_len : tokens_of(options, std::string(*reply));
  if (request.prompt_tokens < kTokensMin || request.prompt_tokens > kPromptTokensMax) return false;
  if (options.output_len == 0 && request.output_tokens < kTokensMin) return false;
  return request.prompt_tokens + request.output_tokens <= kSumTokensMax;
}

}  // namespace

Expected<std::vector<PlannedRequest>> read_custom(const DataSetOptions& options) {
  if (Status status = check_readable(options.path); !status.ok()) return fail(status);
  std::ifstream file(options.path, std::ios::binary);
  std::vector<PlannedRequest> requests;
  std::string line;
  for (std::size_t number = 1;; ++number) {
    line.clear();
    int byte = file.rdbuf()->sbumpc();
    if (byte < 0) break;
    const std::string where = options.path + ":" + std::to_string(number);
    for (; byte >= 0 && byte != '\n'; byte = file.rdbuf()->sbumpc()) {
      if (line.size() == kRecordBytesMax) return fail(bad_input(too_long(where)));
      line.push_back(static_cast<char>(byte));
    }
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (requests.size() == options.records_max)
      return fail(bad_input(where + ": more than " + std::to_string(options.records_max) + " records"));
    auto record = parse_record(line, where);
    if (!record) return fail(record.error());
    auto request = custom_request(options, *record, where);
    if (!request) return fail(request.error());
    requests.push_back(std::move(*request));
  }
  if (requests.empty()) return fail(bad_input(options.path + ": holds no prompt"));
  return requests;
}

Expected<std::vector<PlannedRequest>> read_sharegpt(const DataSetOptions& options) {
  if (Status status = check_readable(options.path); !status.ok()) return fail(status);
  ArrayReader reader(options.path);
  std::vector<PlannedRequest> requests;
  std::string element;
  for (std::size_t number = 1;; ++number) {
    auto more = reader.next(element);
    if (!more) return fail(more.error());
    if (!*more) break;
    const std::string where = options.path + ": conversation " + std::to_string(number);
    if (number > options.records_max)
      return fail(bad_input(where + ": more than " + std::to_string(options.records_max)));
    auto record = parse_record(element, where);
    if (!record) return fail(record.error());
    PlannedRequest request;
    if (sharegpt_request(options, *record, request)) requests.push_back(std::move(request));
  }
  if (requests.empty())
    return fail(bad_input(options.path + ": no conversation of two turns within the limits (prompt 4 to 1,024 tokens, "
                                         "with the reply at most 2,048)"));
  return requests;
}

}  // namespace herd::load
