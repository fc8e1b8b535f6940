package cart

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestFlickers(t *testing.T) {
	attempt := os.Getenv("AGENTIC_TEST_ATTEMPT")
	if attempt == "" || attempt == "1" {
		t.Fatal("not at the first attempt")
	}
}

func TestHangs(t *testing.T) {
	time.Sleep(600 * time.Second)
}

func TestLeaks(t *testing.T) {
	cmd := exec.Command("sleep", "300") // stdio left nil is /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestTotals(t *testing.T) {
	if got := Total(1, 2, 3); got != 6 {
		t.Fatalf("expected 6, got %d", got)
	}
}
