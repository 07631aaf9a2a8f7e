// Package loadbalancer stands in for a cloud's load balancer: it gives each Service of type LoadBalancer an address of its own
// and writes it to the status. It moves no packet: kube-proxy routes the addresses that it finds in the status.
package loadbalancer

import "net/netip"

// Pool hands out addresses. It is not safe for concurrent use.
type Pool struct {
	first, last netip.Addr
	// onRequest are addresses that only those get who ask for them.
	onRequest map[netip.Addr]bool
	// next makes a freed address rest as long as possible, so that no late packet meets its next owner.
	next   netip.Addr
	owners map[netip.Addr]string
	held   map[string]netip.Addr
}

// NewPool hands out first to last, and onRequest to those who ask for it.
func NewPool(first, last netip.Addr, onRequest ...netip.Addr) *Pool {
	pool := &Pool{
		first: first, last: last, next: first,
		onRequest: map[netip.Addr]bool{},
		owners:    map[netip.Addr]string{},
		held:      map[string]netip.Addr{},
	}
	for _, address := range onRequest {
		pool.onRequest[address] = true
	}
	return pool
}

// Assign gives the owner one address, always the same until it is released. A request for an address outside the pool, or for
// one that another has, gets none.
func (p *Pool) Assign(owner string, requested netip.Addr) (netip.Addr, bool) {
	held, holds := p.held[owner]
	if holds && (held == requested || !requested.IsValid()) {
		return held, true
	}
	p.Release(owner)
	if requested.IsValid() {
		return p.take(owner, requested)
	}
	for range p.size() {
		address := p.advance()
		if got, ok := p.take(owner, address); ok {
			return got, true
		}
	}
	return netip.Addr{}, false
}

// Release frees what the owner has, and tells whether that was anything.
func (p *Pool) Release(owner string) bool {
	address, holds := p.held[owner]
	delete(p.held, owner)
	delete(p.owners, address)
	return holds
}

func (p *Pool) take(owner string, address netip.Addr) (netip.Addr, bool) {
	if !p.contains(address) || p.owners[address] != "" {
		return netip.Addr{}, false
	}
	p.owners[address], p.held[owner] = owner, address
	return address, true
}

func (p *Pool) contains(address netip.Addr) bool {
	return p.onRequest[address] || (p.first.Compare(address) <= 0 && address.Compare(p.last) <= 0)
}

func (p *Pool) advance() netip.Addr {
	address := p.next
	if p.next = address.Next(); p.last.Less(p.next) {
		p.next = p.first
	}
	return address
}

func (p *Pool) size() int {
	size := 1
	for address := p.first; address.Less(p.last); address = address.Next() {
		size++
	}
	return size
}
