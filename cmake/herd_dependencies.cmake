# Debian 12 packages (tools/packages.txt). Each library is linked PRIVATE behind its fence.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(CapnProto REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)

# libcaf-dev has neither a CMake config nor a pkg-config file. Core only: the network layer stays out (design).
find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
add_library(herd_caf INTERFACE)
target_include_directories(herd_caf SYSTEM INTERFACE ${CAF_INCLUDE_DIR})
target_link_libraries(herd_caf INTERFACE ${CAF_CORE_LIBRARY} Threads::Threads)

if(HERD_TESTS)
  find_package(GTest REQUIRED)
endif()
