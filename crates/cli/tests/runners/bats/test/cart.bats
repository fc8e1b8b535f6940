@test "pays by card" {
  skip "needs a card reader"
}

@test "hangs" {
  sleep 600
}

@test "flickers" {
  [ "${AGENTIC_TEST_ATTEMPT:-1}" != 1 ]
}

@test "leaks" {
  setsid sleep 300 </dev/null >/dev/null 2>&1 3>&- 4>&- &
}
