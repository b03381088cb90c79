package cluster

import (
	"bufio"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/static"
)

// aPod has a server and a client in one network, every kind of volume, and a
// hook that says when it was called.
const aPod = `apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words, namespace: default}
data: {greeting: good morning}
---
apiVersion: v1
kind: Secret
metadata: {name: quiet, namespace: default}
stringData: {key: not told}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {color: blue}}
    spec:
      serviceAccountName: reader
      terminationGracePeriodSeconds: 60
      hostAliases: [{ip: 127.0.0.1, hostnames: [self.test]}]
      securityContext: {runAsUser: 1234, runAsGroup: 5678, fsGroup: 9}
      initContainers:
      - name: before
        image: tools
        command: [sh, -c, 'echo from init > /shared/note']
        volumeMounts: [{name: shared, mountPath: /shared}]
      containers:
      - name: server
        image: web
        args: [/shared, ':8080']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /note, port: http}, periodSeconds: 1, timeoutSeconds: 30}
        volumeMounts: [{name: shared, mountPath: /shared}]
      - name: client
        image: tools
        command: [sh, -c, 'trap "echo ended; exit 0" TERM; echo $(GREETING); while :; do sleep 0.1; done']
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        env:
        - {name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}
        - {name: QUIET, valueFrom: {secretKeyRef: {name: quiet, key: key}}}
        - {name: COLOR, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['color']"}}}
        volumeMounts:
        - {name: quiet, mountPath: /quiet}
        - {name: words, mountPath: /words, readOnly: true}
        lifecycle: {preStop: {exec: {command: [touch, /shared/stopping]}}}
      volumes:
      - {name: shared, emptyDir: {}}
      - {name: quiet, secret: {secretName: quiet, defaultMode: 0o440}}
      - {name: words, configMap: {name: words}}
`

// web is the image of a program that serves a folder.
func web(t *testing.T) Image {
	t.Helper()
	return Image{Name: "web", Program: static.Build(t, "./test/cluster/web")}
}

// TestPods runs pods, and does with kubectl what people do.
func TestPods(t *testing.T) {
	c := ForTest(t, Options{Pods: true, Images: []Image{{Name: "tools", Host: true}, web(t)}})
	kubectl := c.Kubectl(t)
	kubectl.Apply(aPod)
	kubectl.Run("wait", "--for=condition=Available", "deployment/web", "--timeout=2m")
	// A Service leads to a pod that is ready when its EndpointSlice says so.
	kubectl.Until("the Service", "from init", "exec", "deploy/web", "-c", "client", "--", "curl", "-sf", "http://web/note")

	for _, test := range []struct{ name, want, command string }{
		{"the note that the init container wrote, by the name of the Service", "from init", "curl -sf http://web/note"},
		{"the same by its long name", "from init", "curl -sf http://web.default.svc.cluster.local/note"},
		{"a host alias, on the network that the containers share", "from init", "curl -sf http://self.test:8080/note"},
		{"an environment variable out of a Secret", "not told", `echo "$QUIET"`},
		{"one out of the pod", "blue", `echo "$COLOR"`},
		{"a Secret's file", "not told", "cat /quiet/key"},
		{"a ConfigMap's file", "good morning", "cat /words/greeting"},
		{"the user", "1234 5678", "echo $(id -u) $(id -g)"},
		{"no rights", "0000000000000000", "grep CapBnd /proc/self/status | cut -f2"},
		{"a root that cannot be written", "no", "touch /new 2>/dev/null || echo no"},
		{"the API server, as the ServiceAccount, may be asked what its Role says", "200", `cd /var/run/secrets/kubernetes.io/serviceaccount && curl -s -o /dev/null -w '%{http_code}' --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://kubernetes.default.svc/api/v1/namespaces/$(cat namespace)/configmaps/words`},
		{"and nothing else", "403", `cd /var/run/secrets/kubernetes.io/serviceaccount && curl -s -o /dev/null -w '%{http_code}' --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/default/secrets`},
		{"the machine's files are not there", "", "ls /work /root/.cache 2>/dev/null; true"},
		{"nobody may execute at the kubelet without a certificate", "401", `curl -sk -o /dev/null -w '%{http_code}' -X POST 'https://` + c.Node + `:10250/exec/default/web/server?command=id&output=1'`},
	} {
		if got := strings.TrimSpace(kubectl.Run("exec", "deploy/web", "-c", "client", "--", "sh", "-c", test.command)); got != test.want {
			t.Errorf("%s: %q, not %q", test.name, got, test.want)
		}
	}
	if out, err := kubectl.Try("exec", "deploy/web", "-c", "client", "--", "sh", "-c", "exit 7"); err == nil || !strings.Contains(out, "exit code 7") {
		t.Errorf("an exit code: %q %v", out, err)
	}
	if got := kubectl.In("told", "exec", "-i", "deploy/web", "-c", "client", "--", "cat"); got != "told" {
		t.Errorf("standard input: %q", got)
	}
	kubectl.Until("log", "good morning", "logs", "deploy/web", "-c", "client")
	ip := strings.TrimSpace(kubectl.Run("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"))
	if out, err := curl("http://" + ip + "/note"); err != nil || out != "from init\n" {
		t.Errorf("the Service from the machine: %q %v", out, err)
	}
	pod := strings.TrimSpace(kubectl.Run("get", "pod", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"))
	kubectl.Apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: words, namespace: default}, data: {greeting: good evening}}`)
	kubectl.Until("a changed ConfigMap in its volume", "good evening", "exec", pod, "-c", "client", "--", "cat", "/words/greeting")

	kubectl.Run("delete", "deployment", "web", "--cascade=foreground")
	kubectl.Run("wait", "--for=delete", "pod/"+pod, "--timeout=2m")
	if log := c.PodLog("default", pod, "client"); !strings.Contains(log, "ended") {
		t.Errorf("it was not asked to end: %q", log)
	}
}

// TestPodRestart shows what becomes of programs that end or do not answer.
func TestPodRestart(t *testing.T) {
	c := ForTest(t, Options{Pods: true, Images: []Image{{Name: "tools", Host: true}}})
	kubectl := c.Kubectl(t)
	kubectl.Apply(`
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: default}
spec:
  restartPolicy: Never
  containers: [{name: a, image: tools, command: [sh, -c, exit 3]}]
---
apiVersion: v1
kind: Pod
metadata: {name: again, namespace: default}
spec:
  containers: [{name: a, image: tools, command: [sh, -c, 'echo once; exit 1']}]
---
apiVersion: v1
kind: Pod
metadata: {name: unwell, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: a
    image: tools
    command: [sleep, infinity]
    livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: unknown, namespace: default}
spec:
  containers: [{name: a, image: elsewhere/none}]
---
apiVersion: v1
kind: Pod
metadata: {name: asroot, namespace: default}
spec:
  securityContext: {runAsNonRoot: true}
  containers: [{name: a, image: tools, command: [id]}]
`)
	const first = ".status.containerStatuses[0]"
	for _, test := range []struct{ pod, path, want string }{
		{"job", ".status.phase", "Failed"},
		{"job", first + ".state.terminated.exitCode", "3"},
		{"again", ".status.containerStatuses[?(@.restartCount>=2)].name", "a"},
		{"unwell", ".status.containerStatuses[?(@.restartCount>=1)].name", "a"},
		{"unknown", first + ".state.waiting.reason", "ErrImagePull"},
		{"again", first + ".lastState.terminated.reason", "Error"},
		{"asroot", first + ".state.waiting.reason", "CreateContainerConfigError"},
	} {
		kubectl.Until(test.pod, test.want, "get", "pod", test.pod, "-o", "jsonpath={"+test.path+"}")
	}
	kubectl.Until("what it printed before", "once", "logs", "again", "--previous", "--tail=1")
}

// TestPodsBeside runs two clusters at a time, and in each what surrounds pods:
// addresses, names, streams.
func TestPodsBeside(t *testing.T) {
	images := []Image{{Name: "tools", Host: true}, {Name: "waits"}, web(t)}
	one, other := ForTest(t, Options{Pods: true, Images: images}), ForTest(t, Options{Pods: true, Images: images})
	if one.Node == other.Node {
		t.Fatalf("both are at %s", one.Node)
	}
	const text = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  hostname: first
  initContainers:
  - name: sidecar
    image: tools
    restartPolicy: Always
    command: [sh, -c, 'mkdir /shared/files; echo NAME > /shared/files/name; sleep infinity']
    startupProbe: {exec: {command: [test, -e, /shared/files/name]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 100}
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: server
    image: web
    args: [/shared/files, ':8080']
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, timeoutSeconds: 30}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - {name: waits, image: waits}
  volumes: [{name: shared, emptyDir: {}}]
  terminationGracePeriodSeconds: 1
---
apiVersion: v1
kind: Pod
metadata: {name: never, namespace: default, labels: {app: web}}
spec:
  containers:
  - name: server
    image: tools
    command: [sleep, infinity]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
  terminationGracePeriodSeconds: 0
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: each, namespace: default}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: default}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
`
	for name, c := range map[string]*Cluster{"one": one, "other": other} {
		t.Run(name, func(t *testing.T) {
			kubectl := c.Kubectl(t)
			kubectl.Apply(strings.ReplaceAll(text, "NAME", name))
			kubectl.Run("wait", "--for=condition=Ready", "pod/web", "--timeout=2m")
			kubectl.Run("wait", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}", "service/web", "--timeout=2m")
			address := strings.TrimSpace(kubectl.Run("get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"))
			kubectl.Until("an endpoint", name, "exec", "web", "-c", "sidecar", "--", "curl", "-sf", "http://"+address+"/name")
			for range 10 { // never the pod that is not ready
				if out, err := curl("http://" + address + "/name"); out != name+"\n" {
					t.Fatalf("the balancer's address: %q %v", out, err)
				}
			}
			if got := kubectl.Run("get", "pod", "web", "-o", `jsonpath={.status.containerStatuses[?(@.name=="server")].restartCount}`); got != "0" {
				t.Errorf("the server began before its sidecar had started, %s times", got)
			}
			for _, host := range []string{"web", "each:8080", "each.default.svc.cluster.local:8080", "alias"} {
				kubectl.Until("by name", name, "exec", "web", "-c", "sidecar", "--", "curl", "-sf", "http://"+host+"/name")
			}
			if out, err := kubectl.Try("exec", "web", "-c", "sidecar", "--", "curl", "-s", "http://elsewhere.example/"); err == nil {
				t.Errorf("a name of no Service: %q", out)
			}
			if got := kubectl.Run("get", "pod", "never", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); got != "False" {
				t.Errorf("a pod whose probe fails is ready: %s", got)
			}
			portForward(t, kubectl, name)
		})
	}
}

// portForward asks through a tunnel of kubectl's.
func portForward(t *testing.T, kubectl *Commands, want string) {
	t.Helper()
	cmd := kubectl.command([]string{"port-forward", "pod/web", ":8080"})
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	from, _, ok := strings.Cut(strings.TrimPrefix(line, "Forwarding from "), " -> ")
	if err != nil || !ok {
		t.Fatalf("port-forward says %q, %v", line, err)
	}
	if got, err := curl("http://" + from + "/name"); got != want+"\n" {
		t.Errorf("forwarded: %q %v", got, err)
	}
}
