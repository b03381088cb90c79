package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// network is a bridge with an address of the node's own, to which each pod's
// namespace is joined. Its name is the beginning of all names that it gives.
type network struct {
	bridge string
	prefix netip.Prefix

	mu   sync.Mutex
	next netip.Addr
	used map[netip.Addr]bool
	seq  int
}

// sandbox is the network of one pod.
type sandbox struct {
	net   *network
	netns string
	veth  string
	ip    netip.Addr
}

func newNetwork(bridge string, prefix netip.Prefix) *network {
	prefix = prefix.Masked()
	return &network{bridge: bridge, prefix: prefix, used: map[netip.Addr]bool{}, next: prefix.Addr().Next().Next()}
}

// address is the node's own.
func (n *network) address() netip.Addr { return n.prefix.Addr().Next() }

// up makes the bridge, after removing what a killed runner left of the same name.
func (n *network) up() error {
	n.down()
	return ipBatch("",
		"link add "+n.bridge+" type bridge",
		fmt.Sprintf("addr add %s/%d dev %s", n.address(), n.prefix.Bits(), n.bridge),
		"link set "+n.bridge+" up",
	)
}

// down removes the bridge and the namespaces.
func (n *network) down() {
	left, _ := filepath.Glob("/run/netns/" + n.bridge + "-*")
	for _, p := range left {
		_ = ipBatch("", "netns del "+filepath.Base(p))
	}
	if _, err := os.Stat("/sys/class/net/" + n.bridge); err == nil {
		_ = ipBatch("", "link del "+n.bridge)
	}
}

// join makes a namespace with an address. Addresses are not given anew before
// all have been.
func (n *network) join(sysctls map[string]string) (*sandbox, error) {
	n.mu.Lock()
	n.seq++
	s := &sandbox{net: n, netns: fmt.Sprintf("%s-%d", n.bridge, n.seq), veth: fmt.Sprintf("%sv%d", n.bridge, n.seq)}
	for range 1 << 16 {
		if !n.prefix.Contains(n.next.Next()) { // the last is for broadcasts
			n.next = n.address().Next()
		}
		if !n.used[n.next] {
			break
		}
		n.next = n.next.Next()
	}
	s.ip, n.next = n.next, n.next.Next()
	n.used[s.ip] = true
	n.mu.Unlock()
	if err := ipBatch("",
		"netns add "+s.netns,
		"link add "+s.veth+" type veth peer name eth0 netns "+s.netns,
		"link set "+s.veth+" master "+n.bridge+" up",
	); err != nil {
		return nil, err
	}
	if err := ipBatch(s.netns,
		"link set lo up",
		fmt.Sprintf("addr add %s/%d dev eth0", s.ip, n.prefix.Bits()),
		"link set eth0 up",
		"route add default via "+n.address().String(),
	); err != nil {
		return nil, err
	}
	for name, value := range sysctls {
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		err := inNetns(s.netns, func() error { return os.WriteFile(path, []byte(value), 0o644) })
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// leave removes the namespace.
func (s *sandbox) leave() {
	_ = ipBatch("", "link del "+s.veth, "netns del "+s.netns)
	s.net.mu.Lock()
	delete(s.net.used, s.ip)
	s.net.mu.Unlock()
}

// ipBatch runs lines of ip, in a namespace unless its name is empty.
func ipBatch(netns string, lines ...string) error {
	args := []string{"-batch", "-"}
	if netns != "" {
		args = append([]string{"-n", netns}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(lines, "; "), err, bytes.TrimSpace(out))
	}
	return nil
}
