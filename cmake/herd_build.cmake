# Flags of every target. Rule 2 of docs/numerics.md: no contraction, no fast math, anywhere.
add_compile_options($<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall> $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wextra>
                    $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-ffp-contract=off>
                    $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fstack-protector-strong>)
if(NOT HERD_SANITIZE)
  add_compile_definitions($<$<AND:$<CONFIG:Release>,$<NOT:$<COMPILE_LANGUAGE:CUDA>>>:_FORTIFY_SOURCE=2>)
endif()
include_directories(${PROJECT_SOURCE_DIR})

if(HERD_SANITIZE)
  add_compile_options(-fsanitize=${HERD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HERD_SANITIZE})
endif()

# The sanitizer builds of CI are unity builds, which read headers once for eight sources. Its release build compiles every source
# of the product alone, so that none lives on what another one includes. Tests are compiled eight at a time in both, so that helpers
# of one name in two of them are seen in any build. In a unity build all sources look like headers to this warning.
set(HERD_UNITY_TESTS ON CACHE BOOL "compile eight test sources at a time; OFF: each alone, which is quicker for one that changes often")
set(HERD_UNITY_WARNINGS $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
if(CMAKE_UNITY_BUILD)
  add_compile_options(${HERD_UNITY_WARNINGS})
endif()

# One static library per folder or fence, named herd_NAME with the alias herd::NAME. DEPS are what its headers include,
# PRIVATE_DEPS what its sources alone do (tests/tidy/libraries.py). The whole of it also links into an empty program with
# nothing but what it names: a symbol that another library has, and that this one does not name, breaks the build.
#   herd_library(reload SRCS reload/FILE... DEPS herd::kernels PRIVATE_DEPS Boost::json)
function(herd_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(herd_${name} STATIC ${ARG_SRCS})
  add_library(herd::${name} ALIAS herd_${name})
  target_link_libraries(herd_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  if(HERD_TESTS)
    if(NOT TARGET herd_empty_program)
      add_library(herd_empty_program OBJECT ${PROJECT_SOURCE_DIR}/cmake/empty_program.cc)
    endif()
    add_executable(herd_${name}_links $<TARGET_OBJECTS:herd_empty_program>)
    target_link_libraries(herd_${name}_links PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,herd_${name}>)
    set_target_properties(herd_${name}_links PROPERTIES LINKER_LANGUAGE CXX
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/links)
  endif()
endfunction()

# One test binary per mirrored folder: herd_test(kernels_tests COMPUTES SRCS FILE... DEPS herd::kernels). Release builds
# optimise a test's own sources only a little, as more takes a third of their build, and sanitizer builds not at all, which takes
# half of theirs, unless they compute much: COMPUTES.
function(herd_test name)
  cmake_parse_arguments(ARG "COMPUTES" "" "SRCS;DEPS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  if(HERD_UNITY_TESTS)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(${name} PRIVATE ${HERD_UNITY_WARNINGS})
  endif()
  if(NOT ARG_COMPUTES)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    if(HERD_SANITIZE)
      target_compile_options(${name} PRIVATE -O0)
    endif()
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()
