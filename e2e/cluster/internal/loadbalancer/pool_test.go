package loadbalancer

import (
	"net/netip"
	"testing"
)

var (
	first    = netip.MustParseAddr("192.0.2.10")
	last     = netip.MustParseAddr("192.0.2.11")
	special  = netip.MustParseAddr("192.0.2.200")
	outside  = netip.MustParseAddr("203.0.113.9")
	whatever = netip.Addr{}
)

func TestEachOwnerKeepsAnAddressOfItsOwn(t *testing.T) {
	pool := NewPool(first, last, special)
	expect(t, pool, "a", whatever, first)
	expect(t, pool, "b", whatever, last)
	expect(t, pool, "a", whatever, first)
}

func TestAnEmptyPoolGivesNothingUntilAnOwnerGoes(t *testing.T) {
	pool := NewPool(first, last, special)
	expect(t, pool, "a", whatever, first)
	expect(t, pool, "b", whatever, last)
	expectNone(t, pool, "c", whatever)
	if !pool.Release("a") {
		t.Fatal("a held nothing")
	}
	expect(t, pool, "c", whatever, first)
}

func TestAFreedAddressRestsWhileOthersAreFree(t *testing.T) {
	pool := NewPool(first, last)
	expect(t, pool, "a", whatever, first)
	pool.Release("a")
	expect(t, pool, "b", whatever, last)
}

func TestOnlyWhoAsksGetsTheSpecialAddress(t *testing.T) {
	pool := NewPool(first, first, special)
	expect(t, pool, "a", whatever, first)
	expectNone(t, pool, "b", whatever)
	expect(t, pool, "b", special, special)
	expectNone(t, pool, "c", special)
}

func TestAnAddressOutsideThePoolIsNobodys(t *testing.T) {
	expectNone(t, NewPool(first, last, special), "a", outside)
}

func TestAChangedRequestMovesTheOwner(t *testing.T) {
	pool := NewPool(first, last, special)
	expect(t, pool, "a", whatever, first)
	expect(t, pool, "a", special, special)
	expect(t, pool, "b", first, first)
}

func expect(t *testing.T, pool *Pool, owner string, requested, want netip.Addr) {
	t.Helper()
	if got, ok := pool.Assign(owner, requested); !ok || got != want {
		t.Fatalf("%s asked for %v and got %v %v, not %v", owner, requested, got, ok, want)
	}
}

func expectNone(t *testing.T, pool *Pool, owner string, requested netip.Addr) {
	t.Helper()
	if got, ok := pool.Assign(owner, requested); ok {
		t.Fatalf("%s asked for %v and got %v", owner, requested, got)
	}
}
