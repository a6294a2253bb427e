#include "commands/prompt_file.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

// Up to the end, whatever kind of file it is: a pipe tells no size before.
Expected<std::string> read_text(const std::string& path, const std::string& what) {
  const bool standard_input = path == "-";
  const std::string name = what + (standard_input ? "standard input" : path);
  const int descriptor = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(missing(name + ": " + system_error_text(errno)));
  std::string text;
  Status status;
  const auto chunk = std::make_unique<char[]>(std::size_t{1} << 16);
  while (status.ok()) {
    const ssize_t size = ::read(descriptor, chunk.get(), std::size_t{1} << 16);
    if (size == 0) break;
    if (size > 0) {
      text.append(chunk.get(), static_cast<std::size_t>(size));
      if (text.size() > kPromptFileBytesMax) status = bad_input(name + ": larger than 64 MiB");
    } else if (errno == EAGAIN) {  // a pipe that its other owner made non-blocking: nothing is there yet
      pollfd more{.fd = descriptor, .events = POLLIN, .revents = 0};
      (void)::poll(&more, 1, -1);
    } else if (errno != EINTR) {
      status = missing(name + ": cannot be read: " + system_error_text(errno));
    }
  }
  if (!standard_input) ::close(descriptor);
  if (!status.ok()) return fail(std::move(status));
  return text;
}

// The first `characters` code points; a cut never splits one.
std::string cut(std::string text, std::int64_t characters) {
  std::int64_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool starts = (static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U;
    if (starts && seen++ == characters) {
      text.resize(i);
      break;
    }
  }
  return text;
}

Expected<PromptEntry> parse_entry(const boost::json::value& value, const std::string& where) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(bad_input(where + ": not an object"));
  PromptEntry entry;
  std::string context_path;
  std::int64_t max_length = -1;
  for (const auto& [key, field] : *object) {
    if (key == "prompt" && field.is_string()) {
      entry.prompt = std::string(field.get_string());
    } else if (key == "context" && field.is_string()) {
      context_path = std::string(field.get_string());
    } else if (key == "max_length" && field.is_int64() && field.get_int64() >= 0) {
      max_length = field.get_int64();
    } else if (key == "prompt" || key == "context" || key == "max_length") {
      return fail(bad_input(where + "." + std::string(key) + ": wrong type or value"));
    } else {
      return fail(bad_input(where + ": unknown field \"" + std::string(key) + "\" (prompt, context, max_length)"));
    }
  }
  if (entry.prompt.empty() && context_path.empty()) return fail(bad_input(where + ": neither prompt nor context"));
  if (context_path.empty()) return entry;
  if (context_path.starts_with("file://")) context_path.erase(0, 7);
  if (context_path.find("://") != std::string::npos)
    return fail(bad_input(where + ".context: " + context_path + " is a URL; herd fetches nothing, give a local path"));
  auto context = read_text(context_path, where + ".context: ");
  if (!context) return fail(context.error());
  entry.context = max_length >= 0 ? cut(std::move(*context), max_length) : std::move(*context);
  return entry;
}

}  // namespace

Expected<std::string> read_prompt_text(const std::string& path) {
  auto text = read_text(path, "");
  if (!text) return text;
  if (text->ends_with('\n')) {
    text->pop_back();
    if (text->ends_with('\r')) text->pop_back();
  }
  if (text->empty()) return fail(bad_input((path == "-" ? "standard input" : path) + ": is empty"));
  return text;
}

Expected<std::vector<PromptEntry>> read_prompt_file(const std::string& path) {
  auto text = read_text(path, "");
  if (!text) return fail(text.error());
  const std::string name = path == "-" ? "standard input" : path;
  boost::json::error_code error;
  const boost::json::value parsed = boost::json::parse(*text, error);
  if (error) return fail(bad_input(name + ": not JSON: " + error.message()));
  const auto* array = parsed.if_array();
  if (array == nullptr || array->empty() || array->size() > kPromptEntriesMax)
    return fail(bad_input(name + ": must be an array of 1 to 100000 prompts"));
  std::vector<PromptEntry> entries;
  for (std::size_t i = 0; i < array->size(); ++i) {
    auto entry = parse_entry((*array)[i], name + ": entry " + std::to_string(i));
    if (!entry) return fail(entry.error());
    entries.push_back(std::move(*entry));
  }
  return entries;
}

std::string compose_prompt(const PromptEntry& entry, bool instruct) {
  if (entry.context.empty()) return entry.prompt;
  if (instruct) return "```" + entry.context + "```\n\n" + entry.prompt;
  return entry.context + entry.prompt;
}

}  // namespace herd::commands
