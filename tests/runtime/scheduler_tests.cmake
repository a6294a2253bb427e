# Included by the CMakeLists.txt of tests/runtime. The random tests take --operations N and --seed S.
add_library(herd_toy_shard STATIC
  ${PROJECT_SOURCE_DIR}/tests/sim/plan_checker.cc
  ${PROJECT_SOURCE_DIR}/tests/sim/toy_shard.cc)
target_link_libraries(herd_toy_shard PUBLIC herd::scheduler)

add_executable(scheduler_tests
  ${CMAKE_CURRENT_LIST_DIR}/chunk_rows_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/kv_block_hash_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/kv_block_manager_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/kv_block_news_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/kv_fuzz_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_fuzz_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_prefix_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_probation_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_step_time_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_tests_main.cc
  ${CMAKE_CURRENT_LIST_DIR}/scheduler_transfers_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/step_cost_test.cc)
target_link_libraries(scheduler_tests PRIVATE herd_toy_shard GTest::gtest)
add_test(NAME scheduler_tests COMMAND scheduler_tests)

add_executable(scheduler_bench ${PROJECT_SOURCE_DIR}/tests/bench/scheduler_bench.cc)
target_link_libraries(scheduler_bench PRIVATE herd::scheduler)
