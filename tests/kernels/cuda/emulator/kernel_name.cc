#include "tests/kernels/cuda/emulator/kernel_name.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace herd::emulator {
namespace {

// Kernels are local symbols as a rule, which the dynamic loader does not know: they are looked up in the file.
std::string symbol_of(const std::string& file, std::uint64_t offset) {
  std::ifstream in(file, std::ios::binary);
  const std::string image((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  Elf64_Ehdr header;
  if (image.size() < sizeof header) return {};
  std::memcpy(&header, image.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto section = [&](std::size_t index, Elf64_Shdr& out) {
    const std::size_t at = header.e_shoff + index * sizeof out;
    if (at > image.size() || image.size() - at < sizeof out) return false;
    std::memcpy(&out, image.data() + at, sizeof out);
    return out.sh_type == SHT_NOBITS || (out.sh_offset <= image.size() && out.sh_size <= image.size() - out.sh_offset);
  };
  for (std::size_t i = 0; i < header.e_shnum; i++) {
    Elf64_Shdr table, names;
    if (!section(i, table) || table.sh_type != SHT_SYMTAB || !section(table.sh_link, names)) continue;
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= table.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, image.data() + table.sh_offset + at, sizeof symbol);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value == offset && symbol.st_name < names.sh_size)
        return image.data() + names.sh_offset + symbol.st_name;
    }
  }
  return {};
}

}  // namespace

std::string kernel_name(const void* kernel) {
  std::string symbol;
  Dl_info info = {};
  if (::dladdr(kernel, &info) != 0 && info.dli_fname != nullptr) {
    Elf64_Ehdr header;
    std::memcpy(&header, info.dli_fbase, sizeof header);
    const auto base = header.e_type == ET_EXEC ? 0 : reinterpret_cast<std::uint64_t>(info.dli_fbase);
    symbol = symbol_of(info.dli_fname, reinterpret_cast<std::uint64_t>(kernel) - base);
    if (symbol.empty()) symbol = symbol_of("/proc/self/exe", reinterpret_cast<std::uint64_t>(kernel) - base);
  }
  if (symbol.empty()) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", kernel);
    return text;
  }
  int status = 0;
  char* plain = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = plain != nullptr ? plain : symbol;
  std::free(plain);
  return name;
}

}  // namespace herd::emulator
