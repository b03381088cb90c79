package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refreshTime is after how long a changed Secret or ConfigMap is seen in a volume.
const refreshTime = 2 * time.Second

// volumes are the folders of a pod.
type volumes struct {
	pod *pod

	mu     sync.Mutex
	seen   map[string]string // what a volume holds, to tell a change
	tokens map[string]token
}

type token struct {
	text  string
	renew time.Time
}

// files is what a volume holds: content and mode by path.
type files map[string]file

type file struct {
	data []byte
	mode os.FileMode
}

func newVolumes(p *pod) *volumes {
	return &volumes{pod: p, seen: map[string]string{}, tokens: map[string]token{}}
}

// path is the folder of a volume.
func (v *volumes) path(name string) (string, error) {
	dir := filepath.Join(v.pod.dir, "volumes", name)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("there is no volume %q", name)
	}
	return dir, nil
}

// fixed reports whether a volume cannot be written to by programs.
func (v *volumes) fixed(name string) bool {
	for _, s := range v.pod.object.Spec.Volumes {
		if s.Name == name {
			return s.EmptyDir == nil
		}
	}
	return false
}

// follow renews what volumes hold until ctx ends.
func (v *volumes) follow(ctx context.Context) {
	if !slices.ContainsFunc(v.pod.object.Spec.Volumes, func(s corev1.Volume) bool { return s.EmptyDir == nil }) {
		return
	}
	for pauseFor(ctx, refreshTime) {
		if err := v.refresh(ctx); err != nil && ctx.Err() == nil {
			log.Printf("pod %s: %v", v.pod, err)
		}
	}
}

// refresh writes what the volumes hold now.
func (v *volumes) refresh(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.pod.object.Spec.Volumes {
		s := &v.pod.object.Spec.Volumes[i]
		if err := v.refreshOne(ctx, s); err != nil {
			return fmt.Errorf("volume %s: %w", s.Name, err)
		}
	}
	return nil
}

func (v *volumes) refreshOne(ctx context.Context, s *corev1.Volume) error {
	dir := filepath.Join(v.pod.dir, "volumes", s.Name)
	if s.EmptyDir != nil {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		return os.Chmod(dir, 0o777)
	}
	held := files{}
	if err := v.fill(ctx, s, held); err != nil {
		return err
	}
	now := fmt.Sprint(held)
	if v.seen[s.Name] == now {
		return nil
	}
	if err := replace(dir, held, v.group()); err != nil {
		return err
	}
	v.seen[s.Name] = now
	return nil
}

// group is the group of volumes' files, or -1.
func (v *volumes) group() int {
	if s := v.pod.object.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return int(*s.FSGroup)
	}
	return -1
}

// fill reads what a volume shall hold.
func (v *volumes) fill(ctx context.Context, s *corev1.Volume, to files) error {
	switch {
	case s.Secret != nil:
		p := s.Secret
		return v.fillSecret(ctx, source{p.SecretName, p.Items, p.DefaultMode, yes(p.Optional)}, to)
	case s.ConfigMap != nil:
		p := s.ConfigMap
		return v.fillConfigMap(ctx, source{p.Name, p.Items, p.DefaultMode, yes(p.Optional)}, to)
	case s.DownwardAPI != nil:
		return v.fillFields(s.DownwardAPI.Items, s.DownwardAPI.DefaultMode, to)
	case s.Projected != nil:
		for _, p := range s.Projected.Sources {
			if err := v.project(ctx, p, s.Projected.DefaultMode, to); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("its kind is not known here")
}

func (v *volumes) project(ctx context.Context, p corev1.VolumeProjection, mode *int32, to files) error {
	switch {
	case p.Secret != nil:
		return v.fillSecret(ctx, source{p.Secret.Name, p.Secret.Items, mode, yes(p.Secret.Optional)}, to)
	case p.ConfigMap != nil:
		return v.fillConfigMap(ctx, source{p.ConfigMap.Name, p.ConfigMap.Items, mode, yes(p.ConfigMap.Optional)}, to)
	case p.DownwardAPI != nil:
		return v.fillFields(p.DownwardAPI.Items, mode, to)
	case p.ServiceAccountToken != nil:
		text, err := v.token(ctx, p.ServiceAccountToken)
		if err != nil {
			return err
		}
		to[p.ServiceAccountToken.Path] = file{[]byte(text), modeOf(mode)}
		return nil
	}
	return fmt.Errorf("a projected source is not known here")
}

// source is how volumes name a Secret or a ConfigMap.
type source struct {
	name     string
	items    []corev1.KeyToPath
	mode     *int32
	optional bool
}

func (v *volumes) fillSecret(ctx context.Context, s source, to files) error {
	o, err := v.pod.node.client.CoreV1().Secrets(v.pod.object.Namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return unless(s.optional, err)
	}
	return s.put(o.Data, to)
}

func (v *volumes) fillConfigMap(ctx context.Context, s source, to files) error {
	o, err := v.pod.node.client.CoreV1().ConfigMaps(v.pod.object.Namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return unless(s.optional, err)
	}
	data := maps.Clone(o.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for k, t := range o.Data {
		data[k] = []byte(t)
	}
	return s.put(data, to)
}

// put writes the keys that are asked for, by default all of them.
func (s source) put(data map[string][]byte, to files) error {
	if len(s.items) == 0 {
		for k, b := range data {
			to[k] = file{b, modeOf(s.mode)}
		}
	}
	for _, it := range s.items {
		b, ok := data[it.Key]
		if !ok && !s.optional {
			return fmt.Errorf("%s has no key %q", s.name, it.Key)
		}
		mode := s.mode
		if it.Mode != nil {
			mode = it.Mode
		}
		to[it.Path] = file{b, modeOf(mode)}
	}
	return nil
}

func (v *volumes) fillFields(items []corev1.DownwardAPIVolumeFile, mode *int32, to files) error {
	for _, it := range items {
		if it.FieldRef == nil {
			return fmt.Errorf("%s: only fields are known here", it.Path)
		}
		text, err := v.pod.field(it.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		to[it.Path] = file{[]byte(text), modeOf(mode)}
	}
	return nil
}

// token asks for a ServiceAccount's token, anew when most of its time is over.
func (v *volumes) token(ctx context.Context, p *corev1.ServiceAccountTokenProjection) (string, error) {
	if t := v.tokens[p.Path]; time.Now().Before(t.renew) {
		return t.text, nil
	}
	o := v.pod.object
	name := o.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	ask := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		ExpirationSeconds: p.ExpirationSeconds,
		BoundObjectRef:    &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: o.Name, UID: o.UID},
	}}
	if p.Audience != "" {
		ask.Spec.Audiences = []string{p.Audience}
	}
	got, err := v.pod.node.client.CoreV1().ServiceAccounts(o.Namespace).CreateToken(ctx, name, ask, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	life := time.Until(got.Status.ExpirationTimestamp.Time)
	v.tokens[p.Path] = token{got.Status.Token, time.Now().Add(life * 8 / 10)}
	return got.Status.Token, nil
}

func modeOf(mode *int32) os.FileMode {
	if mode == nil {
		return 0o644
	}
	return os.FileMode(*mode)
}

// replace puts files in the place of those of a volume, all at once: each name
// leads through a link to a folder that is exchanged.
func replace(dir string, held files, group int) error {
	version := ".." + strconv.FormatInt(time.Now().UnixNano(), 36)
	for name, f := range held {
		path := filepath.Join(dir, version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
		mode := f.mode
		if group >= 0 {
			mode |= 0o040 | mode>>3&0o010
			if err := os.Chown(path, 0, group); err != nil {
				return err
			}
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
		return err
	}
	data, fresh := filepath.Join(dir, "..data"), filepath.Join(dir, "..data_new")
	old, _ := os.Readlink(data)
	if err := os.Symlink(version, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, data); err != nil {
		return err
	}
	if err := link(dir, held); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// link makes the names that are seen, and removes those that are not any more.
func link(dir string, held files) error {
	wanted := map[string]bool{}
	for name := range held {
		top, _, _ := strings.Cut(name, "/")
		wanted[top] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); len(n) > 2 && n[:2] == ".." {
			continue
		} else if !wanted[n] {
			if err := os.Remove(filepath.Join(dir, n)); err != nil {
				return err
			}
		} else {
			delete(wanted, n)
		}
	}
	for n := range wanted {
		if err := os.Symlink(filepath.Join("..data", n), filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	return nil
}
