@test "adds" {
  [ $((2 + 2)) -eq 4 ]
}

@test "expects four" {
  got=$((2 + 3))
  if [ "$got" -ne 4 ]; then
    echo "expected 4, got $got"
    return 1
  fi
}

@test "crashes" {
  kill -9 $$
}

@test "multiplies" {
  [ $((2 * 3)) -eq 6 ]
}
