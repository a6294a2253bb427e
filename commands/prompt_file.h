#pragma once
// Prompts from a file or a pipe: plain text, or a JSON array of {"prompt": text, "context": local path, "max_length":
// characters}. The context's text (cut after max_length characters) stands before the prompt.

#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::commands {

struct PromptEntry {
  std::string prompt;
  std::string context;  // text of the context file, already cut; empty when none was named
};

inline constexpr std::size_t kPromptFileBytesMax = std::size_t{64} << 20;
inline constexpr std::size_t kPromptEntriesMax = 100'000;

// Both: `path` may be a pipe, such as /dev/stdin or <(command), and "-" is standard input.

// The text, without one line break at its end, which editors and echo add. kBadInput when it is empty.
Expected<std::string> read_prompt_text(const std::string& path);

// kBadInput names file, entry and field; kMissing when a file is not there. URLs are refused: herd fetches nothing.
Expected<std::vector<PromptEntry>> read_prompt_file(const std::string& path);

// Context and prompt as one text: instruct fences the context ("```…```", blank line, prompt), else context + prompt.
std::string compose_prompt(const PromptEntry& entry, bool instruct);

}  // namespace herd::commands
