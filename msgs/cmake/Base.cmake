# robot_interfaces_with_base(<interfaces variable> <dependencies variable>)
# A fleet may have a robot_interfaces of its own that lacks our types. Two packages of one name hide each other, so the
# one that is built here holds the types of both: ROBOT_INTERFACES_BASE names share/robot_interfaces of the other. Where
# both have a type, the other's counts, for that is what the fleet's nodes speak.
set(ROBOT_INTERFACES_BASE "" CACHE PATH "share/robot_interfaces of an installed package whose types are built as well")

macro(robot_interfaces_with_base interfaces dependencies)
  file(GLOB base_types RELATIVE "${ROBOT_INTERFACES_BASE}"
    "${ROBOT_INTERFACES_BASE}/msg/*.msg" "${ROBOT_INTERFACES_BASE}/srv/*.srv" "${ROBOT_INTERFACES_BASE}/action/*.action")
  foreach(type IN LISTS base_types)
    list(REMOVE_ITEM ${interfaces} "${type}")
    list(APPEND ${interfaces} "${ROBOT_INTERFACES_BASE}:${type}")
  endforeach()

  file(READ "${ROBOT_INTERFACES_BASE}/package.xml" base_manifest)
  string(REGEX MATCHALL "depend>[a-z0-9_]+<" base_depends "${base_manifest}")
  foreach(depend IN LISTS base_depends)
    string(REGEX REPLACE "depend>|<" "" depend "${depend}")
    ament_index_has_resource(has_interfaces rosidl_interfaces "${depend}")
    if(has_interfaces)
      find_package("${depend}" REQUIRED)
      list(APPEND ${dependencies} "${depend}")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES ${dependencies})
endmacro()
