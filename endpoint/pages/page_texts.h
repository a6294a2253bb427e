#pragma once
// The texts of the pages, as CMake put them into the program.

#include <span>

#include "endpoint/pages/page_files.h"

namespace herd::pages {

[[nodiscard]] std::span<const PageFile> page_texts();

}  // namespace herd::pages
