#include "commands/npy_file.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace herd::commands {

Status write_npy(const std::string& path, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (const std::int64_t size : shape) header += std::to_string(size) + ", ";
  header += "), }";
  constexpr std::size_t kPreamble = 10;  // magic, version, header length
  header.resize((kPreamble + header.size() + 1 + 63) / 64 * 64 - kPreamble - 1, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write("\x93NUMPY\x01\x00", 8);
  file.put(static_cast<char>(length & 0xff)).put(static_cast<char>(length >> 8));
  file << header;
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  file.close();
  if (file) return {};
  // Half a file is none; what was there before, such as a device or a pipe, is not ours to remove.
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) std::remove(path.c_str());
  return missing(path + ": cannot be written");
}

}  // namespace herd::commands
