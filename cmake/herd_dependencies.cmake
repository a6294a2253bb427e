# Debian 12 packages (tools/packages.txt). Each library is linked PRIVATE behind its fence.
find_package(Threads REQUIRED)

# kernels/ needs two of them. A machine that has no packages for it takes them from a folder brought along:
# HERD_HEADERS/tl/expected.hpp and HERD_HEADERS/googletest, a copy of /usr/src/googletest/googletest.
set(HERD_HEADERS "" CACHE PATH "Folder with tl/expected.hpp and googletest/, instead of installed packages")
if(HERD_HEADERS)
  add_library(tl::expected INTERFACE IMPORTED)
  target_include_directories(tl::expected INTERFACE ${HERD_HEADERS})
else()
  find_package(tl-expected REQUIRED)
endif()
if(HERD_TESTS AND HERD_HEADERS)
  add_library(herd_gtest STATIC ${HERD_HEADERS}/googletest/src/gtest-all.cc)
  target_include_directories(herd_gtest SYSTEM PUBLIC ${HERD_HEADERS}/googletest/include
                             PRIVATE ${HERD_HEADERS}/googletest)
  target_link_libraries(herd_gtest PUBLIC Threads::Threads)
  add_library(herd_gtest_main STATIC ${HERD_HEADERS}/googletest/src/gtest_main.cc)
  target_link_libraries(herd_gtest_main PUBLIC herd_gtest)
  add_library(GTest::gtest ALIAS herd_gtest)
  add_library(GTest::gtest_main ALIAS herd_gtest_main)
elseif(HERD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(HERD_KERNELS_ONLY)
  return()
endif()

find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(CapnProto REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)

# libcaf-dev has neither a CMake config nor a pkg-config file. Core only: the network layer stays out.
find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
add_library(herd_caf INTERFACE)
target_include_directories(herd_caf SYSTEM INTERFACE ${CAF_INCLUDE_DIR})
target_link_libraries(herd_caf INTERFACE ${CAF_CORE_LIBRARY} Threads::Threads)
