package shop

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestAdds(t *testing.T) {
	if got := Add(2, 2); got != 4 {
		t.Fatalf("expected 4, got %d", got)
	}
}

func TestCrashes(t *testing.T) {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	time.Sleep(time.Minute) // until the signal is here
}

func TestExpectsFour(t *testing.T) {
	if got := Add(2, 3); got != 4 {
		t.Errorf("expected 4, got %d", got)
	}
}

func TestPaysByCard(t *testing.T) {
	t.Skip("needs a card reader")
}

func TestMultiplies(t *testing.T) {
	if got := Multiply(2, 3); got != 6 {
		t.Fatalf("expected 6, got %d", got)
	}
}
