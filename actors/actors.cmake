# The actors and the in-process cluster of them. CAF is PUBLIC for the actors' own tests; units that only include
# in_process_cluster.h never see its headers.
add_library(herd_actors STATIC
  ${CMAKE_CURRENT_LIST_DIR}/coordinator/coordinator_actor.cc
  ${CMAKE_CURRENT_LIST_DIR}/gateway/delta_sink.cc
  ${CMAKE_CURRENT_LIST_DIR}/gateway/gateway_actor.cc
  ${CMAKE_CURRENT_LIST_DIR}/in_process_cluster.cc
  ${CMAKE_CURRENT_LIST_DIR}/replica/replica_actor.cc
  ${CMAKE_CURRENT_LIST_DIR}/replica/step_collector.cc
  ${CMAKE_CURRENT_LIST_DIR}/shard/rank_steps.cc
  ${CMAKE_CURRENT_LIST_DIR}/shard/shard_actor.cc
  ${CMAKE_CURRENT_LIST_DIR}/wire_roundtrip.cc)
add_library(herd::actors ALIAS herd_actors)
target_link_libraries(herd_actors PUBLIC herd::scheduler herd::cluster herd_caf PRIVATE herd::wire)
