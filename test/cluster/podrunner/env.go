package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment is a container's.
type environment map[string]string

func (e environment) list() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(e)) {
		out = append(out, k+"="+e[k])
	}
	return out
}

// expand replaces $(NAME) by the variable, and $$ by $. An unknown name stays.
func (e environment) expand(s string) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(s, "$")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			s = after[1:]
			continue
		case strings.HasPrefix(after, "("):
			if name, rest, ok := strings.Cut(after[1:], ")"); ok {
				if v, known := e[name]; known {
					out.WriteString(v)
				} else {
					out.WriteString("$(" + name + ")")
				}
				s = rest
				continue
			}
		}
		out.WriteByte('$')
		s = after
	}
}

// environment returns the container's, or an error while something that it is
// made of does not exist.
func (c *container) environment(ctx context.Context) (environment, error) {
	e := environment{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": c.pod.hostname(), "HOME": "/",
	}
	if c.pod.node.services {
		s, err := c.pod.node.client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		e["KUBERNETES_SERVICE_HOST"] = s.Spec.ClusterIP
		e["KUBERNETES_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
		e["KUBERNETES_SERVICE_PORT_HTTPS"] = e["KUBERNETES_SERVICE_PORT"]
	}
	for _, f := range c.spec.EnvFrom {
		data, err := c.envFrom(ctx, f)
		if err != nil {
			return nil, err
		}
		for k, v := range data {
			e[f.Prefix+k] = v
		}
	}
	for _, v := range c.spec.Env {
		value, set, err := c.value(ctx, v, e)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		if set {
			e[v.Name] = value
		}
	}
	return e, nil
}

func (c *container) envFrom(ctx context.Context, f corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case f.SecretRef != nil:
		return c.secret(ctx, f.SecretRef.Name, yes(f.SecretRef.Optional))
	case f.ConfigMapRef != nil:
		return c.configMap(ctx, f.ConfigMapRef.Name, yes(f.ConfigMapRef.Optional))
	}
	return nil, nil
}

// value returns a variable's value, and whether it is set at all.
func (c *container) value(ctx context.Context, v corev1.EnvVar, e environment) (string, bool, error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return e.expand(v.Value), true, nil
	case from.FieldRef != nil:
		s, err := c.pod.field(from.FieldRef.FieldPath)
		return s, true, err
	case from.ResourceFieldRef != nil:
		s, err := c.resource(from.ResourceFieldRef)
		return s, true, err
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		data, err := c.secret(ctx, r.Name, yes(r.Optional))
		return keyOfData(data, r.Key, yes(r.Optional), err)
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		data, err := c.configMap(ctx, r.Name, yes(r.Optional))
		return keyOfData(data, r.Key, yes(r.Optional), err)
	}
	return "", false, fmt.Errorf("its source is not known here")
}

func keyOfData(data map[string]string, key string, optional bool, err error) (string, bool, error) {
	v, ok := data[key]
	if err == nil && !ok && !optional {
		err = fmt.Errorf("there is no key %q", key)
	}
	return v, ok, err
}

func (c *container) secret(ctx context.Context, name string, optional bool) (map[string]string, error) {
	s, err := c.pod.node.client.CoreV1().Secrets(c.pod.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unless(optional, err)
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out, nil
}

func (c *container) configMap(ctx context.Context, name string, optional bool) (map[string]string, error) {
	m, err := c.pod.node.client.CoreV1().ConfigMaps(c.pod.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unless(optional, err)
	}
	return m.Data, nil
}

// unless returns nil for what is absent and need not be there.
func unless(optional bool, err error) error {
	if optional && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func yes(b *bool) bool { return b != nil && *b }

// field returns a field of the pod, as the downward API names it.
func (p *pod) field(path string) (string, error) {
	o := p.now()
	if key, ok := subscript(path, "metadata.labels"); ok {
		return o.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return o.Annotations[key], nil
	}
	switch path {
	case "metadata.name":
		return o.Name, nil
	case "metadata.namespace":
		return o.Namespace, nil
	case "metadata.uid":
		return string(o.UID), nil
	case "metadata.labels":
		return quoted(o.Labels), nil
	case "metadata.annotations":
		return quoted(o.Annotations), nil
	case "spec.nodeName":
		return p.node.name, nil
	case "spec.serviceAccountName":
		return o.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return p.node.net.address().String(), nil
	case "status.podIP", "status.podIPs":
		return p.box.ip.String(), nil
	}
	return "", fmt.Errorf("field %q is not known here", path)
}

// subscript returns KEY of NAME['KEY'].
func subscript(path, name string) (string, bool) {
	rest, ok := strings.CutPrefix(path, name+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func quoted(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(out, "\n")
}

// resource returns a limit or request in units of the divisor, rounded up.
func (c *container) resource(r *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(r.Resource, ".")
	list := c.spec.Resources.Requests
	if kind == "limits" {
		list = c.spec.Resources.Limits
	}
	q, ok := list[corev1.ResourceName(name)]
	if !ok && kind == "limits" { // what a node has is the limit then
		q, ok = room[corev1.ResourceName(name)]
	}
	if !ok {
		return "0", nil
	}
	divisor := r.Divisor.MilliValue()
	if divisor == 0 {
		divisor = 1000
	}
	return strconv.FormatInt((q.MilliValue()+divisor-1)/divisor, 10), nil
}
