package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// notNow says why a container cannot be started yet, by a kubelet's reason.
type notNow struct {
	reason string
	err    error
}

func (n *notNow) Error() string { return n.err.Error() }
func (n *notNow) Unwrap() error { return n.err }

// plan says how the container's program is started.
func (c *container) plan(ctx context.Context) (*entry, error) {
	m, ok := c.pod.node.images.find(c.spec.Image)
	if !ok {
		return nil, &notNow{"ErrImagePull", fmt.Errorf("no program stands for image %q", c.spec.Image)}
	}
	env, err := c.environment(ctx)
	if err != nil {
		return nil, &notNow{"CreateContainerConfigError", err}
	}
	e := &entry{Netns: c.pod.box.netns, Hostname: c.pod.hostname(), Copy: m.Root, Host: m.Host, Dir: "/", Env: env.list()}
	if e.Root, err = c.emptyRoot(); err != nil {
		return nil, err
	}
	if err := c.identify(e, m); err != nil {
		return nil, &notNow{"CreateContainerConfigError", err}
	}
	command, args := c.spec.Command, c.spec.Args
	if len(command) == 0 {
		command = m.Entrypoint
		if len(args) == 0 {
			args = m.Args
		}
	}
	for _, a := range append(append([]string{}, command...), args...) {
		e.Args = append(e.Args, env.expand(a))
	}
	if len(e.Args) == 0 {
		return nil, &notNow{"CreateContainerError", errors.New("neither the container nor its image says what to run")}
	}
	if d := c.spec.WorkingDir; d != "" {
		e.Dir = d
	}
	e.Binds, err = c.binds(m)
	return e, err
}

// emptyRoot returns a folder to mount the root on.
func (c *container) emptyRoot() (string, error) {
	dir := filepath.Join(c.pod.dir, "root", c.spec.Name)
	return dir, os.MkdirAll(dir, 0o755)
}

// binds are the files that the runner puts into a container.
func (c *container) binds(m image) ([]bind, error) {
	var out []bind
	for _, f := range []string{"hosts", "resolv.conf", "hostname"} {
		out = append(out, bind{filepath.Join(c.pod.dir, f), "/etc/" + f, true})
	}
	if m.Program != "" {
		out = append(out, bind{m.Program, m.Path, true})
	}
	if m.Program == "" && m.Root == "" && !m.Host {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		out = append(out, bind{self, waits.Entrypoint[0], true})
	}
	for _, v := range c.spec.VolumeMounts {
		source, err := c.pod.volumes.path(v.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, bind{filepath.Join(source, v.SubPath), v.MountPath, v.ReadOnly || c.pod.volumes.fixed(v.Name)})
	}
	return out, nil
}

// identify sets who the program is, and what it may do.
func (c *container) identify(e *entry, m image) error {
	uid, gid := m.User, int64(0)
	rootForbidden := false
	if s := c.pod.object.Spec.SecurityContext; s != nil {
		override(&uid, s.RunAsUser)
		override(&gid, s.RunAsGroup)
		rootForbidden = s.RunAsNonRoot != nil && *s.RunAsNonRoot
		for _, g := range s.SupplementalGroups {
			e.Groups = append(e.Groups, int(g))
		}
		if s.FSGroup != nil {
			e.Groups = append(e.Groups, int(*s.FSGroup))
		}
	}
	if s := c.spec.SecurityContext; s != nil {
		override(&uid, s.RunAsUser)
		override(&gid, s.RunAsGroup)
		if s.RunAsNonRoot != nil {
			rootForbidden = *s.RunAsNonRoot
		}
		e.ReadOnly = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
		e.NoNewPrivileges = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
		if s.Capabilities != nil {
			for _, d := range s.Capabilities.Drop {
				e.DropAll = e.DropAll || d == "ALL"
			}
		}
	}
	if rootForbidden && uid == 0 {
		return errors.New("container has runAsNonRoot and image will run as root")
	}
	e.UID, e.GID = int(uid), int(gid)
	return nil
}

func override(to *int64, from *int64) {
	if from != nil {
		*to = *from
	}
}

// port returns a port by its number or its name.
func (c *container) port(p portRef) (int, error) {
	if n := p.IntValue(); n > 0 {
		return n, nil
	}
	for _, q := range c.spec.Ports {
		if q.Name == p.String() {
			return int(q.ContainerPort), nil
		}
	}
	return 0, fmt.Errorf("no port is called %q", p.String())
}

// portRef is how Kubernetes names a port.
type portRef interface {
	IntValue() int
	String() string
}
