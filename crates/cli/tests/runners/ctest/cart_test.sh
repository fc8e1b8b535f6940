case $1 in
pays_by_card) echo "needs a card reader"; exit 77 ;;
hangs) sleep 600 ;;
flickers) [ "${AGENTIC_TEST_ATTEMPT:-1}" != 1 ] || { echo "not at the first attempt" >&2; exit 1; } ;;
leaks) setsid sleep 300 </dev/null >/dev/null 2>&1 & ;;
*) echo "no such test: $1" >&2; exit 2 ;;
esac
