echo "adding"
[ $((2 + 2)) -eq 4 ] || exit 1
case $1 in
passes) ;;
fails) echo "expected 4, got 5" >&2; exit 1 ;;
flickers) [ "${AGENTIC_TEST_ATTEMPT:-1}" != 1 ] || { echo "not at the first attempt" >&2; exit 1; } ;;
hangs) sleep 600 ;;
crashes) kill -9 $$ ;;
leaks) setsid sleep 300 </dev/null >/dev/null 2>&1 & ;;
esac
echo "multiplying"
[ $((2 * 3)) -eq 6 ]
